"""Ctrl-C and SIGTERM ask a run to stop at the end of its step; a second one stops it at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serm.cli.progress import RunProgress
    from serm.graphs.control import Control

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AFTER_STEP = "Stopping at the end of this step, or once {what} in flight have ended; once more stops at once."


@dataclass
class Stop:
    """Which signal asked for it; None while nobody has."""

    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal if self.signal else 0


@contextmanager
def stopping(ask: Callable[[], object], at_once: Callable[[], object] = lambda: None) -> Iterator[Stop]:
    """Call `ask` on the first signal; on the second `at_once`, and raise KeyboardInterrupt.

    Handlers are put back after.
    """
    stop, asking, again = Stop(), False, False

    def handle(number: int, _: FrameType | None) -> None:
        nonlocal asking, again
        if asking:  # `ask` may be in the midst of a line, and what it prints with would be left half done
            again = True
            return
        if stop.signal is None:
            stop.signal, asking = number, True
            try:
                ask()
            finally:
                asking = False
            if not again:
                return
        at_once()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def controlled(progress: RunProgress, said: str) -> Iterator[tuple[Control, Stop]]:
    """What a run is stopped by: the first signal has it drain, and prints `said`; the second aborts it."""
    from serm.graphs.control import Control

    control = Control()

    def ask() -> None:
        control.request_drain()
        progress.say(said, style="yellow")

    with stopping(ask, control.abort) as stop:
        yield control, stop
