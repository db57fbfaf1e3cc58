"""One event loop in a thread of its own, for sync code that calls judges."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, TypeVar

from anyio.from_thread import start_blocking_portal

T = TypeVar("T")


class Portal:
    """Runs coroutines for threads that are not async. All of a panel's calls share its one loop, so that
    the limit on calls in flight holds across the shards that run at the same time.

    The caller's context variables (its tracer, its open span) are those of the coroutine.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal("asyncio"))
        self._running: set[Future[Any]] = set()

    def call(self, function: Callable[..., Awaitable[T]], *args: object, **kwargs: object) -> T:
        """Run `function(*args, **kwargs)` on the loop and wait for it. Raises what it raises."""
        future = self._portal.start_task_soon(lambda: function(*args, **kwargs))
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # where the waiting was interrupted; nothing where the call itself failed
            raise

    def cancel(self) -> None:
        """Cancel all that runs: who waits for it gets a CancelledError."""
        for future in list(self._running):
            future.cancel()

    def close(self) -> None:
        """Wait for what runs, then stop. Safe to call twice."""
        self._stack.close()
