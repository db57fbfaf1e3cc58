"""Any server that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp and others."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from openai import AsyncOpenAI, DefaultAioHttpClient

from serm.core.errors import BudgetExceededError, ConfigError
from serm.core.records import Failure, FailureKind
from serm.core.settings_loop import LlmSettings, Price
from serm.llm.asking import Message, Reply, T, Turn
from serm.llm.budget import Budget, most
from serm.llm.completions import Completion, read_completion, turn_of
from serm.llm.features import Knowledge, Offer
from serm.llm.retry import Problem, back_off, problem_of
from serm.llm.spec import BackendSpec
from serm.llm.tally import Tally

_UNREAD: Final = 1_000_003
"""Added to the seed for each answer of a path that could not be read (chosen: no path comes near it)."""
NO_KEY: Final = "EMPTY"
"""What servers of one's own are sent where OPENAI_API_KEY is not set."""


class ChatClient:
    """One model on one server: fulfils `Asker` and `Converser`.

    It retries by itself, and nobody else does; every request is within budget. A server that knows no
    log-probabilities or no JSON schema is asked for less, from then on: see `features`.
    """

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
            timeout=None,  # the clock is ours: it also covers an answer that comes drop by drop
            max_retries=0,
            http_client=DefaultAioHttpClient(timeout=None),
        )
        self._limit = "max_tokens" if spec.target else "max_completion_tokens"
        self._knowledge = Knowledge()
        self._jitter = random.Random()
        self._not_before = 0.0  # loop time until which the server asked to be left alone

    async def ask(
        self,
        messages: Sequence[Message],
        read: Callable[[str], T | Failure],
        *,
        schema: dict[str, Any],
        path: int,
        logprobs: bool = False,
    ) -> Reply[T]:
        """Ask until `read` makes a value of the text, the server refuses, or the retries run out.

        Path 0 is sampled at `temperature`, further ones at `path_temperature`, each with a seed of its own.
        Raises BudgetExceededError where not even the first request is within budget; where a further one is
        not, the reply is a failure of that kind.
        """
        return await self._exchange(
            messages,
            lambda said: read(said.text),
            path,
            lambda refused: self._knowledge.offer(schema, logprobs=logprobs, without=refused),
        )

    async def turn(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]], *, path: int
    ) -> Reply[Turn]:
        """The model's next turn, asked for as `ask` asks for an answer. Raises as it does.

        Where there are tools it has to call one, on servers that know how to make it.
        """
        return await self._exchange(
            messages, turn_of, path, lambda refused: self._knowledge.offer_tools(tools, without=refused)
        )

    async def _exchange(
        self,
        messages: Sequence[Message],
        read: Callable[[Completion], T | Failure],
        path: int,
        offered: Callable[[Collection[str]], Offer],
    ) -> Reply[T]:
        """The one retry layer: request after request, until `read` makes a value of what was said.

        `offered` is told which features this exchange was refused for; a request without them is no retry.
        """
        tally = Tally(self._price)
        attempt = unread = 0  # unread: answers that could not be read; the same seed would give them again
        refused: set[str] = set()
        while True:
            offer = offered(refused)
            request = self._request(messages, offer.options, path, unread)
            try:
                said = await self._send(request, tally)
            except BudgetExceededError as error:
                if not tally.requests:
                    raise
                return tally.failed(Failure(FailureKind.OVER_BUDGET, error.message))
            if isinstance(said, Completion):
                self._knowledge.answered(offer.features, refused)
                value = read(said)
                if not isinstance(value, Failure):
                    return tally.reply(value, said.tokens)
                unread += 1
                problem = Problem(value, again=value.kind is FailureKind.UNPARSABLE)
            else:
                problem = said
            fault = self._knowledge.fault(offer.features, problem.failure.message)
            if problem.objects and fault is not None:
                refused.add(fault)
                continue
            if not problem.again or attempt == self._settings.retries:
                return tally.failed(problem.failure)
            await self._pause(attempt, problem.wait)
            attempt += 1

    def _request(
        self, messages: Sequence[Message], options: Mapping[str, Any], path: int, unread: int
    ) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": messages,
            **options,
            "temperature": self._settings.path_temperature if path else self._settings.temperature,
            "seed": self._seed + path + _UNREAD * unread,
            self._limit: self._settings.max_tokens,
        }

    async def _send(self, request: dict[str, Any], tally: Tally) -> Completion | Problem:
        """One request: what was said, or what went wrong."""
        await self._wait_for_server()
        reserved = most(self._price, [json.dumps(request, ensure_ascii=False)], self._settings.max_tokens)
        self._budget.reserve(reserved)
        paid = 0.0
        try:
            tally.requests += 1
            async with asyncio.timeout(self._settings.timeout):
                body = await self._client.post("/chat/completions", cast_to=bytes, body=request)
            said = read_completion(body)
            paid = tally.count(said, reserved)
            return said if isinstance(said, Completion) else Problem(said, again=True)
        except Exception as error:
            problem = problem_of(error)
            paid = tally.charge(reserved if problem.charged else 0.0)
            return problem
        finally:
            self._budget.settle(reserved, paid)

    async def _pause(self, attempt: int, asked: float | None) -> None:
        wait = back_off(attempt, asked, self._jitter)
        if asked is not None:  # the server means all callers
            self._not_before = max(self._not_before, asyncio.get_running_loop().time() + asked)
        await asyncio.sleep(wait)

    async def _wait_for_server(self) -> None:
        clock = asyncio.get_running_loop().time
        while (left := self._not_before - clock()) > 0:  # another call may have been told to wait longer
            await asyncio.sleep(left)

    async def close(self) -> None:
        await self._client.close()


def api_key(spec: BackendSpec) -> str:
    """The key to send: OPENAI_API_KEY, or a placeholder for a server of one's own."""
    key = os.environ.get("OPENAI_API_KEY", "")
    if not key and not spec.target:
        raise ConfigError(
            f"`{spec.text}` needs a key, and OPENAI_API_KEY is not set.",
            "Set it, or name a server of your own: `http://localhost:8000/v1#MODEL`.",
        )
    return key or NO_KEY
