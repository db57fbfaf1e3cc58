"""The event loop of all providers' packages. They keep connections over the life of a process, and a panel's
loop ends with the panel."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

from serm.llm.brake import Brake

T = TypeVar("T")


async def elsewhere(work: Coroutine[Any, Any, T]) -> T:
    """Run on that loop, for coroutines of another one."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, _loop()))


def waited_for(work: Coroutine[Any, Any, T], seconds: float | None, brake: Brake | None = None) -> T:
    """Run on that loop, for sync code, which waits, also where its own thread has a loop that runs.

    Raises what it raises, and TimeoutError once `seconds` are over, whatever has come by then: a client's own
    limit is for each read, and drops may go on. None: it takes as long as it takes. Where `brake` gives it up
    it is cancelled, and GivenUpError raised.
    """

    async def in_time() -> T:
        async with asyncio.timeout(seconds):
            return await work

    future = asyncio.run_coroutine_threadsafe(in_time(), _loop())
    try:
        return future.result() if brake is None else brake.result_of(future)
    except BaseException:
        future.cancel()  # where the waiting was interrupted; nothing where the work itself failed
        raise


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="langchain", daemon=True).start()
    return loop
