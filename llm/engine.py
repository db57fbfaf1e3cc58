"""A language model in this process: what is asked of it, what it answers, what can go wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from serm.llm.asking import Message, Token


class UnfitError(Exception):
    """The engine does not take this request and never will."""


class TooLongError(UnfitError):
    """The prompt and an answer to it are longer than the model's context."""


class HiccupError(Exception):
    """This request went wrong inside the engine, which goes on."""


class StalledError(Exception):
    """The engine seems to be stuck: for `PATIENCE` seconds not one request has ended."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of an engine."""

    messages: Sequence[Message]
    schema: Mapping[str, Any]  # JSON schema that the answer is held to
    temperature: float
    seed: int
    max_tokens: int  # of the answer
    tools: Sequence[Mapping[str, Any]] = ()  # shown to the model, in OpenAI's form
    watched: tuple[str, ...] = ()  # tokens whose log-probabilities are wanted; none: no log-probabilities


@dataclass(frozen=True, slots=True)
class Said:
    """What an engine answered."""

    text: str
    tokens_in: int
    tokens_out: int
    cut: bool = False  # it ended because it was as long as it may be
    tokens: tuple[Token, ...] = ()


class Core(Protocol):
    """vLLM as it is used here. Everything but `shut_down` is called on one event loop."""

    sleeps: bool  # whether it can leave the device to others and come back

    async def generate(self, wish: Wish) -> Said:
        """Raises UnfitError, HiccupError, or JudgeError where the engine has died."""

    async def sleep(self) -> None: ...

    async def wake(self) -> None: ...

    def shut_down(self) -> None: ...
