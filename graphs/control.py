"""How a run is asked to stop: once the calls in flight have ended, or at once."""

from __future__ import annotations

from collections.abc import Callable

from langgraph.runtime import RunControl


class Control(RunControl):
    """`request_drain()` asks to stop as soon as that is clean, `abort()` does not wait. Use one a run."""

    def __init__(self) -> None:
        super().__init__()
        self._on_abort: list[Callable[[], object]] = []
        self._aborted = False

    @property
    def aborted(self) -> bool:
        """Whether somebody did not want to wait."""
        return self._aborted

    def on_abort(self, call: Callable[[], object]) -> None:
        """Have `call` called where somebody does not want to wait."""
        self._on_abort.append(call)

    def abort(self) -> None:
        """Stop now; calls that are in flight are lost, and counted. Safe to call from a signal's handler."""
        self._aborted = True
        self.request_drain()
        for call in self._on_abort:
            call()
