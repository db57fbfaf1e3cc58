"""What a run tells whoever watches it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Event:
    """One step began, or moved on (`done` of `total`; a total of 0 means that nobody knows).

    Without a step it is a notice on the whole run."""

    round: int  # 0 while the first model is made
    step: str
    message: str = ""
    done: int = 0
    total: int = 0


Listener = Callable[[Event], None]


def nobody(_: Event) -> None:
    """The listener of a run that nobody watches."""


class Meter:
    """Counts what parallel tasks have done of a step, and tells it now and then. Safe to use from threads."""

    def __init__(self, emit: Listener) -> None:
        self._emit, self._lock = emit, threading.Lock()
        self._round, self._step, self._done, self._total, self._told = 0, "", 0, 0, 0.0

    def start(self, number: int, step: str, total: int) -> None:
        """A step of round `number` begins, in which `total` things are to be done."""
        with self._lock:
            self._round, self._step, self._done, self._total = number, step, 0, total
            self._tell()

    def add(self, count: int) -> None:
        """So many further things are done."""
        with self._lock:
            self._done += count
            if self._done >= self._total or time.monotonic() - self._told > INTERVAL:
                self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        if self._total:
            self._emit(Event(self._round, self._step, done=self._done, total=self._total))


INTERVAL: Final = 0.1  # seconds between two tellings, at least; chosen
