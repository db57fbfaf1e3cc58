"""How a judge asks a chat model, whichever stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from serm.core.records import Failure, FailureKind
from serm.core.text import keepable

T = TypeVar("T")
S = TypeVar("S")

Message = dict[str, Any]
"""`role` and `content`; of an agent's turn also `tool_calls`, of a tool's answer `tool_call_id`."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer, and what could have stood there: (text, log-probability), likeliest first."""

    text: str
    alternatives: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that a model wants called; `arguments` is its own text, JSON or not."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a model that may call tools."""

    text: str
    calls: tuple[ToolCall, ...] = ()


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
    tokens: tuple[Token, ...] = ()  # of the answer, where log-probabilities were asked for and given
    cut: bool = False  # whether the answer broke off at the limit of its tokens, where its model says so


def heard(read: Callable[[S], T | Failure], said: S) -> T | Failure:
    """What `read` makes of what a model said. Where it raises, that is a failure of the answer: it is paid
    for by now, and an error that passed on would take it out of the ledger."""
    try:
        return read(said)
    except Exception as error:
        what = keepable(f"it could not be read: {type(error).__name__}: {error}")
        return Failure(FailureKind.UNPARSABLE, what[:300])


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
        logprobs: bool = False,
    ) -> Reply[T]:
        """Ask along one reasoning path; `read` makes a value of the text, or says why it cannot.

        With `logprobs` the reply bears the answer's tokens, where the backend gives log-probabilities.
        """

    async def close(self) -> None:
        """Free what it holds."""


class Converser(Protocol):
    """A chat model that calls tools. What fulfils it fulfils `Asker` too."""

    async def turn(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]], *, path: int
    ) -> Reply[Turn]:
        """The model's next turn; `tools` are functions in OpenAI's form. A failure where none came."""
