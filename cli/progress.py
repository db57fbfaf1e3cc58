"""What a run shows while it works: one moving line and the finished steps on a terminal, lines elsewhere."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from serm.cli.format import duration

if TYPE_CHECKING:
    from serm.graphs.events import Event

WORTH_A_LINE: Final = 0.5  # seconds under which a finished step is not told of; chosen
SILENCE: Final = 30.0  # seconds after which a step without a moving line says how far it is; chosen


class RunProgress:
    """A listener for `evolve`, and without `rounds` for `annotate`. Safe to call from several threads."""

    def __init__(self, console: Console, *, rounds: bool = True) -> None:
        self._console, self._rounds = console, rounds
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=None)
        self._step: tuple[int, str] | None = None
        self._began = self._said = time.monotonic()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if not event.step:
                self.say(event.message, style="yellow")
                return
            if (event.round, event.step) != self._step:
                self._finish()
                if self._rounds and (self._step is None or event.round != self._step[0]):
                    self.say(f"Round {event.round}" if event.round else "First models", style="bold")
                self._step, self._began = (event.round, event.step), time.monotonic()
                self._progress.reset(self._task, total=event.total or None, description=_name(event.step))
            if event.total:  # one that does not know how far it is takes nothing back
                self._progress.update(self._task, completed=event.done, total=event.total)
            if event.message:
                self.say(f"  {event.message}")
            if not self._console.is_terminal and event.total and time.monotonic() - self._said > SILENCE:
                self.say(f"  {_name(event.step):<16} {event.done:>5,} of {event.total:,}", style="dim")

    def say(self, text: str, style: str = "") -> None:
        """A line that stays, above the moving one."""
        self._said = time.monotonic()
        self._console.print(text, style=style, markup=False, highlight=False)

    def _finish(self) -> None:
        spent = time.monotonic() - self._began
        if self._step is not None and spent >= WORTH_A_LINE:
            self.say(f"  {_name(self._step[1]):<16} {duration(int(spent * 1e9)):>12}", style="dim")


def _name(step: str) -> str:
    return step.replace("_", " ")
