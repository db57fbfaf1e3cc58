"""How a judge asks a chat model, whichever stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from serm.core.records import Failure

T = TypeVar("T")

Message = dict[str, str]
"""`role` and `content`."""


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """What came of asking: a value or a failure, and what it took, retries included."""

    value: T | None
    failure: Failure | None
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    latency: float = 0.0  # seconds, waiting included
    requests: int = 0


class Asker(Protocol):
    """A chat model that answers by a JSON schema, or tries to."""

    model: str
    sampling: Mapping[str, object]
    simulated: bool
    deterministic: bool
    remote: bool

    async def ask(
        self,
        messages: Sequence[Message],
        read: Callable[[str], T | Failure],
        *,
        schema: dict[str, Any],
        path: int,
    ) -> Reply[T]:
        """Ask along one reasoning path; `read` makes a value of the text, or says why it cannot."""

    async def close(self) -> None:
        """Free what it holds."""
