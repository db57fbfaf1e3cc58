"""Any server that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp and others."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion

from serm.core.errors import BudgetExceededError, ConfigError
from serm.core.records import Failure, FailureKind
from serm.core.settings_loop import LlmSettings, Price
from serm.llm.asking import Message, Reply, T
from serm.llm.budget import Budget, cost, most
from serm.llm.retry import Problem, back_off, problem_of
from serm.llm.spec import BackendSpec

_UNREAD: Final = 1_000_003
"""Added to the seed for each answer of a path that could not be read (chosen: no path comes near it)."""
NO_KEY: Final = "EMPTY"
"""What servers of one's own are sent where OPENAI_API_KEY is not set."""


class ChatClient:
    """One model on one server. It retries by itself, and nobody else does; every request is within budget."""

    simulated = False
    remote = True

    def __init__(
        self,
        spec: BackendSpec,
        settings: LlmSettings,
        *,
        seed: int = 0,
        price: Price | None = None,
        budget: Budget | None = None,
    ) -> None:
        """Raises ConfigError where the model is OpenAI's and OPENAI_API_KEY is not set."""
        self.model, self._price, self._settings = spec.model, price, settings
        self.sampling: Mapping[str, object] = {
            "temperature": settings.temperature,
            "path_temperature": settings.path_temperature,
            "max_tokens": settings.max_tokens,
            "seed": seed,
        }
        self.deterministic = settings.temperature == settings.path_temperature == 0
        self._seed = seed
        self._budget = budget or Budget(None)
        self._client = AsyncOpenAI(
            api_key=api_key(spec),
            base_url=spec.target or None,
            timeout=settings.timeout,
            max_retries=0,
        )
        self._limit = "max_tokens" if spec.target else "max_completion_tokens"
        self._jitter = random.Random()
        self._not_before = 0.0  # loop time until which the server asked to be left alone

    async def ask(
        self,
        messages: Sequence[Message],
        read: Callable[[str], T | Failure],
        *,
        schema: dict[str, Any],
        path: int,
        logprobs: bool = False,  # noqa: ARG002 - not yet
    ) -> Reply[T]:
        """Ask until `read` makes a value of the text, the server refuses, or the retries run out.

        Path 0 is sampled at `temperature`, further ones at `path_temperature`, each with a seed of its own.
        Raises BudgetExceededError where not even the first request is within budget; where a further one is
        not, the reply is a failure of that kind.
        """
        began = time.monotonic()
        tally = _Tally()
        format_ = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
        unread = 0  # answers that could not be read: the same seed would give the same again
        for attempt in range(self._settings.retries + 1):
            await self._wait_for_server()
            try:
                got = await self._request(messages, format_, path, unread, tally)
            except BudgetExceededError as error:
                if not tally.requests:
                    raise
                return tally.reply(None, Failure(FailureKind.OVER_BUDGET, error.message), began)
            value = read(got) if isinstance(got, str) else got.failure
            if not isinstance(value, Failure):
                return tally.reply(value, None, began)
            unread += isinstance(got, str)
            problem = (
                got if isinstance(got, Problem) else Problem(value, value.kind is FailureKind.UNPARSABLE)
            )
            if not problem.again or attempt == self._settings.retries:
                return tally.reply(None, problem.failure, began)
            await self._pause(attempt, problem.wait)
        raise AssertionError("the last attempt returns")

    async def _request(
        self, messages: Sequence[Message], format_: dict[str, Any], path: int, unread: int, tally: _Tally
    ) -> str | Problem:
        """One request: its text, or what went wrong."""
        reserved = most(self._price, [message["content"] for message in messages], self._settings.max_tokens)
        request: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "response_format": format_,
            "temperature": self._settings.path_temperature if path else self._settings.temperature,
            "seed": self._seed + path + _UNREAD * unread,
            self._limit: self._settings.max_tokens,
        }
        self._budget.reserve(reserved)
        tally.requests += 1
        paid = 0.0
        try:
            async with asyncio.timeout(self._settings.timeout):
                completion = await self._client.chat.completions.create(**request)
            paid = tally.count(completion, self._price, reserved)
            return text_of(completion)
        except Exception as error:
            return problem_of(error)
        finally:
            self._budget.settle(reserved, paid)

    async def _pause(self, attempt: int, asked: float | None) -> None:
        wait = back_off(attempt, asked, self._jitter)
        if asked is not None:  # the server means all callers
            self._not_before = max(self._not_before, asyncio.get_running_loop().time() + asked)
        await asyncio.sleep(wait)

    async def _wait_for_server(self) -> None:
        left = self._not_before - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)

    async def close(self) -> None:
        await self._client.close()


@dataclass
class _Tally:
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0

    def count(self, completion: object, price: Price | None, otherwise: float) -> float:
        """Add what an answered request took; returns its cost, `otherwise` where the server says nothing."""
        usage = completion.usage if isinstance(completion, ChatCompletion) else None
        paid = cost(price, usage.prompt_tokens, usage.completion_tokens) if usage else otherwise
        if usage:
            self.tokens_in += usage.prompt_tokens
            self.tokens_out += usage.completion_tokens
        self.cost += paid
        return paid

    def reply(self, value: T | None, failure: Failure | None, began: float) -> Reply[T]:
        latency = time.monotonic() - began
        return Reply(value, failure, self.tokens_in, self.tokens_out, self.cost, latency, self.requests)


def text_of(completion: object) -> str:
    """The text of a completion; "" where the server answered with something else."""
    if not isinstance(completion, ChatCompletion) or not completion.choices:
        return ""
    message = completion.choices[0].message
    return (message.content or "") if message else ""


def api_key(spec: BackendSpec) -> str:
    """The key to send: OPENAI_API_KEY, or a placeholder for a server of one's own."""
    key = os.environ.get("OPENAI_API_KEY", "")
    if not key and not spec.target:
        raise ConfigError(
            f"`{spec.text}` needs a key, and OPENAI_API_KEY is not set.",
            "Set it, or name a server of your own: `http://localhost:8000/v1#MODEL`.",
        )
    return key or NO_KEY
