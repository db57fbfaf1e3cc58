"""Requests and tokens a minute, kept to on our side: a server that is not pressed need not refuse."""

from __future__ import annotations

import asyncio
from typing import Final

from aiolimiter import AsyncLimiter

MINUTE: Final = 60.0
"""Seconds that a limit is over."""
BURST: Final = 1.0
"""Seconds' worth of a limit that may go out at once (chosen: servers count over windows of their own)."""
_TOKENS_A_BYTE: Final = 1 / 3
"""What is assumed of a request before any was counted (chosen: English has 1/4, Chinese about 1/3)."""


def limiter(limit: float) -> AsyncLimiter:
    """One that lets at most `limit` through in any minute, units of one, `BURST` seconds' worth at once.

    A leaky bucket of capacity c that leaks r a second lets less than c + r x 60 + 1 through a minute; so
    r = (limit + 1 - c) / 60. A limit under one a second has c = 1: its requests are evenly spaced.
    """
    capacity = max(1.0, limit / MINUTE * BURST)
    leak = (limit + 1 - capacity) / MINUTE
    return AsyncLimiter(capacity, capacity / leak)


class Pace:
    """When the next request of a judge may be sent: within its limits a minute (None: none), and not while
    the server asked to be left alone. To be used on one event loop.

    The tokens of a request are guessed before it is sent, from its bytes and from the answers so far. What
    the server counts then is made up for by the next request: in the long run the tokens let through are
    those that were used.
    """

    def __init__(self, requests: float | None, tokens: float | None, max_tokens: int) -> None:
        self._requests = limiter(requests) if requests else None
        self._tokens = limiter(tokens) if tokens else None
        self._turn = asyncio.Lock()  # first come, first served, also where the first needs more
        self._not_before = 0.0  # loop time
        self._owed = 0.0  # tokens used beyond those let through; negative: let through and not used
        self._bytes = self._read = self._answers = self._written = 0
        self._max_tokens = max_tokens

    @property
    def weighs(self) -> bool:
        """Whether the size of a request matters."""
        return self._tokens is not None

    def guess(self, size: int) -> float:
        """Tokens that a request of so many bytes takes, read and written."""
        if not self._answers or not self._bytes:
            return size * _TOKENS_A_BYTE + self._max_tokens
        return size * self._read / self._bytes + self._written / self._answers

    async def admit(self, size: int) -> float:
        """Wait until a request of so many bytes may be sent; returns the tokens that it was counted with."""
        if self._tokens is None and self._requests is None and self._held() <= 0:
            return 0.0
        guess = self.guess(size)
        async with self._turn:
            if self._tokens is not None:
                due = guess + self._owed
                self._owed = min(0.0, due)
                await _draw(self._tokens, due)
            if self._requests is not None:
                await self._requests.acquire()
            while (left := self._held()) > 0:  # a call in flight may have been told to wait longer
                await asyncio.sleep(left)
        return guess

    def hold(self, seconds: float) -> None:
        """Send nothing for so long: a server's Retry-After means all calls of the judge."""
        self._not_before = max(self._not_before, asyncio.get_running_loop().time() + seconds)

    def _held(self) -> float:
        return self._not_before - asyncio.get_running_loop().time()

    def correct(self, size: int, counted: float, used: tuple[int, int] | None) -> None:
        """Tell what a request took that was let through as `counted` tokens; None: the server did not say,
        and the guess stands."""
        if used is None or self._tokens is None:
            return
        self._bytes += size
        self._read += used[0]
        self._written += used[1]
        self._answers += 1
        self._owed += sum(used) - counted


async def _draw(bucket: AsyncLimiter, amount: float) -> None:
    """Wait for an amount, however large: the bucket is emptied as often as need be."""
    while amount > 0:
        part = min(amount, bucket.max_rate)
        await bucket.acquire(part)
        amount -= part
