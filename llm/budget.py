"""Money for a run, reserved before a request and settled after it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from serm.core.errors import BudgetExceededError
from serm.core.settings_loop import Price

GO_ON: Final = "What was paid for is kept. Raise `budget.currency` and run the same command to go on."
TOKENS_AROUND: Final = 64
"""Tokens that a server's chat template puts around the texts, at most (chosen)."""
_PER_BYTE: Final = 64  # tokens of a byte that no server reads, whatever it adds of its own; chosen
_PER_ALLOWED: Final = 16
"""Tokens written for each that was allowed for which no server counts more (chosen). A model that reasons may
count what it thought beside its answer, and some servers bound the answer alone."""
_THOUGHTS: Final = 131_072
"""Tokens that any model may count for one answer, thoughts among them, however few were allowed (chosen: most
models write no more than that in one go)."""


def cost(price: Price | None, tokens_in: int, tokens_out: int) -> float:
    """Money for so many tokens; nothing where no price is stated (a server of one's own)."""
    if price is None:
        return 0.0
    return (tokens_in * price.input + tokens_out * price.output) / 1e6


def most(price: Price | None, texts: list[str], max_tokens: int) -> float:
    """What a request can cost at most: no tokenizer makes more tokens of a text than it has bytes."""
    tokens_in = TOKENS_AROUND + sum(len(text.encode()) for text in texts)
    return cost(price, tokens_in, max_tokens)


def believed(used: tuple[int, int] | None, size: int, max_tokens: int) -> tuple[int, int] | None:
    """The tokens read and written that a server counts; None where a request of `size` bytes (0: not known)
    for an answer of `max_tokens` cannot have had them: they would be paid for, and hold further requests up.
    """
    if used is None:
        return None
    read, written = used
    too_many_read = size > 0 and read > _PER_BYTE * (TOKENS_AROUND + size)
    return None if too_many_read or written > max(_PER_ALLOWED * max_tokens, _THOUGHTS) else used


def price_of(prices: Mapping[str, Price], *names: str) -> Price | None:
    """The price under the first of `names` that has one."""
    return next((prices[name] for name in names if name in prices), None)


class Budget:
    """Never passed: what is paid plus the most that the requests in flight can cost stays within `limit`.

    To be used on one event loop.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit, self.paid, self._reserved = limit, 0.0, 0.0
        self._in_flight, self._settled = 0, asyncio.Event()

    def already_paid(self, amount: float) -> None:
        """Count what the store says was paid, by earlier processes and rounds too."""
        self.paid = max(self.paid, amount)

    async def wait_for(self, amount: float) -> None:
        """`reserve`, once requests in flight, which mostly cost less than they could, leave room for it."""
        while self._in_flight and not self._fits(self._reserved + amount) and self._fits(amount):
            await self._settled.wait()
        self.reserve(amount)

    def reserve(self, amount: float) -> None:
        """Raises BudgetExceededError where a request of this cost could pass the limit."""
        if not self._fits(self._reserved + amount):
            raise BudgetExceededError(
                f"the next call could pass the budget of {self.limit:g}: {self.paid:.4g} is paid, and it may "
                f"cost {amount:.4g}.",
                GO_ON,
            )
        self._reserved += amount
        self._in_flight += 1

    def settle(self, reserved: float, actual: float) -> None:
        """A request has ended; `actual` is 0 where it failed before it was answered."""
        self._in_flight -= 1
        self._reserved = self._reserved - reserved if self._in_flight else 0.0
        self.paid += actual
        self._settled.set()
        self._settled = asyncio.Event()

    def _fits(self, amount: float) -> bool:
        return self.limit is None or self.paid + amount <= self.limit
