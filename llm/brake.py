"""What stops the turns of agents: once somebody has asked to stop none is asked for, and those in flight can
be given up."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, Final, TypeVar

T = TypeVar("T")

LOOK: Final = 0.1
"""Seconds between two looks at whether to stop, while something is waited for (chosen)."""


class StopRequestedError(Exception):
    """Somebody has asked to stop. The calls in flight have ended and are recorded."""

    def __init__(self, message: str = "somebody has asked to stop.") -> None:
        super().__init__(message)


class GivenUpError(StopRequestedError):
    """A request in flight was given up: it may have been answered, and may be charged for."""


class Brake:
    """One for all agents of a run. Safe to use from several threads.

    It has no lock and no Event, which has one: `cancel` may be called by a signal's handler, in a thread that
    holds it.
    """

    def __init__(self, asked: Callable[[], bool] = lambda: False) -> None:
        """`asked`: whether somebody wants to stop, and waits for what is in flight."""
        self._asked = asked
        self._given_up = False
        self._in_flight: set[Future[Any]] = set()

    def check(self) -> None:
        """Called before each request. Raises StopRequestedError where none is to be sent any more."""
        if self._given_up or self._asked():
            raise StopRequestedError

    def wait(self, seconds: float) -> None:
        """Sleep, and look up now and then. Raises StopRequestedError."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, LOOK))

    def result_of(self, future: Future[T]) -> T:
        """What comes of a request. Raises what it raises, and GivenUpError where it is given up meanwhile."""
        self._in_flight.add(future)
        try:
            if self._given_up:  # by somebody who looked at what is in flight before this was
                future.cancel()
            return future.result()
        except CancelledError:
            raise GivenUpError from None
        finally:
            self._in_flight.discard(future)

    def cancel(self) -> None:
        """Give up the requests in flight, and have no further one sent."""
        self._given_up = True
        for future in list(self._in_flight):
            future.cancel()
