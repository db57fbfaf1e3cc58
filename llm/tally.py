"""What one exchange with a server takes, retries included."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from serm.core.records import Failure
from serm.core.settings_loop import Price
from serm.llm.asking import Reply, T, Token
from serm.llm.budget import cost


@dataclass(slots=True)
class Tally:
    """Counts requests, tokens and money until a reply bears them."""

    price: Price | None
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def count(self, used: tuple[int, int] | None, otherwise: float) -> float:
        """Add the tokens that an answered request read and wrote; returns its cost, `otherwise` where the
        server does not say."""
        if used is None:
            return self.charge(otherwise)
        self.tokens_in += used[0]
        self.tokens_out += used[1]
        return self.charge(cost(self.price, *used))

    def charge(self, amount: float) -> float:
        """Add money; returns it."""
        self.cost += amount
        return amount

    def reply(self, value: T, tokens: tuple[Token, ...] = ()) -> Reply[T]:
        return Reply(value, None, *self._taken(), tokens)

    def failed(self, failure: Failure) -> Reply[Any]:
        return Reply(None, failure, *self._taken())

    def _taken(self) -> tuple[int, int, float, float, int]:
        latency = time.monotonic() - self.began
        return self.tokens_in, self.tokens_out, self.cost, latency, self.requests
