"""Asking a chat model until it answers: retries, budget, pace and what its server does not know.

Whatever brings the request to the model, OpenAI's protocol or a provider's package, is a subclass.
"""

from __future__ import annotations

import asyncio
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from serm.core.errors import BudgetExceededError
from serm.core.records import Failure, FailureKind
from serm.core.settings_loop import LlmSettings, Price
from serm.llm.asking import Message, Reply, T, Turn, heard
from serm.llm.budget import TOKENS_AROUND, Budget, believed, cost
from serm.llm.completions import Completion, is_torn, keepable_completion, turn_of
from serm.llm.endings import explained, may_differ
from serm.llm.features import Knowledge, Offer
from serm.llm.rate import Pace
from serm.llm.retry import Problem, back_off, problem_of
from serm.llm.tally import Tally
from serm.llm.unwanted import Unwanted
from serm.llm.written_calls import written_turn

_UNREAD: Final = 1_000_003
"""Added to the seed for each answer of a path that could not be read (chosen: no path comes near it)."""


class Exchange(ABC):
    """One model: fulfils `Asker` and `Converser`.

    It retries by itself, and nobody else does; every request is within budget. A server that knows no
    log-probabilities or no JSON schema is asked for less, from then on: see `features`.
    """

    simulated = False
    writes = False  # whether a model that calls no tool can be held to writing a call by a JSON schema
    remote = True

    def __init__(
        self,
        model: str,
        settings: LlmSettings,
        *,
        seed: int = 0,
        price: Price | None = None,
        budget: Budget | None = None,
        limit: str = "max_tokens",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """`limit` is what requests call the most tokens of an answer; `options` are further parts of every
        request, as they are."""
        self.model, self._price, self._settings, self._limit = model, price, settings, limit
        self.sampling: Mapping[str, object] = {
            "temperature": settings.temperature,
            "path_temperature": settings.path_temperature,
            "max_tokens": settings.max_tokens,
            "seed": seed,
            **({"options": dict(options)} if options else {}),  # without any: as keys have always been
        }
        self._options = dict(options or {})
        self.deterministic = settings.temperature == settings.path_temperature == 0
        self._seed = seed
        self._budget = budget or Budget(None)
        self._knowledge = Knowledge()
        self._pace = Pace(settings.requests_per_minute, settings.tokens_per_minute, settings.max_tokens)
        self._weighs = price is not None or self._pace.weighs  # whether a request's size matters
        self._jitter = random.Random()
        self._unwanted = Unwanted()

    @abstractmethod
    async def _complete(self, request: dict[str, Any]) -> Completion | Problem:
        """One request, in the form of OpenAI's chat completions: what was said, or why it cannot be read.
        Raises what `_problem_of` knows to sort."""

    def _problem_of(self, error: Exception) -> Problem:
        return problem_of(error)

    @abstractmethod
    async def close(self) -> None:
        """Free what it holds."""

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

        Where there are tools it has to call one, on servers that know how to make it. Where the model wrote a
        text nevertheless, it is held to the schema of a call from then on.
        """

        asked = Offer((), {})

        def offered(refused: Collection[str]) -> Offer:
            nonlocal asked
            asked = self._knowledge.offer_tools(messages, tools, without=refused)
            return asked

        def read(said: Completion) -> Turn | Failure:
            if said.end and is_torn(said):
                return Failure(FailureKind.UNPARSABLE, "no whole call of a tool")
            if said.calls or not tools:
                return turn_of(said)
            turn = written_turn(said.text)
            spoke = bool(turn.text.strip())  # and called nothing
            if spoke and self.writes and self._knowledge.is_mute(asked):
                return Failure(FailureKind.UNPARSABLE, "a text in place of a call")
            return turn

        return await self._exchange(messages, read, path, offered)

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
        dropped: set[str] = set()  # parts that this exchange was refused for
        while True:
            offer = offered(refused)
            request = self._request(messages, offer.options, path, unread, dropped)
            try:
                said = await self._send(request, tally)
            except BudgetExceededError as error:
                if not tally.requests:
                    raise
                return tally.failed(Failure(FailureKind.OVER_BUDGET, error.message))
            if isinstance(said, Completion):
                self._knowledge.answered(offer.features, refused)
                self._unwanted.answered(request, dropped)
                value = heard(read, said)
                if not isinstance(value, Failure):
                    return tally.reply(value, said.tokens)
                if offered(refused).features != offer.features:
                    continue  # it is asked in another way from now on; that is no retry
                unread += 1
                problem = Problem(value, again=value.kind is FailureKind.UNPARSABLE, end=said.end)
            else:
                problem = said
            if problem.end and problem.failure.kind is FailureKind.UNPARSABLE:
                cut = explained(problem.failure, problem.end, self._settings.max_tokens)
                text = said.text if isinstance(said, Completion) else problem.failure.message
                problem = replace(problem, failure=cut, again=may_differ(request, text))
            if problem.objects and (named := self._unwanted.named(request, problem.failure.message)):
                dropped |= named
                continue
            fault = self._knowledge.fault(offer.features, problem.failure.message)
            if problem.objects and fault is not None:
                refused.add(fault)
                continue
            if not problem.again or attempt == self._settings.retries:
                return tally.failed(problem.failure)
            await self._pause(attempt, problem.wait)
            attempt += 1

    def _request(
        self,
        messages: Sequence[Message],
        options: Mapping[str, Any],
        path: int,
        unread: int,
        dropped: Collection[str],
    ) -> dict[str, Any]:
        request = {
            "model": self.model,
            "messages": messages,
            **self._options,
            **options,
            "temperature": self._settings.path_temperature if path else self._settings.temperature,
            "seed": self._seed + path + _UNREAD * unread,
            self._limit: self._settings.max_tokens,
        }
        out = self._unwanted.refused.union(dropped)
        return {name: value for name, value in request.items() if name not in out}

    async def _send(self, request: dict[str, Any], tally: Tally) -> Completion | Problem:
        """One request: what was said, or what went wrong."""
        size = len(json.dumps(request, ensure_ascii=False).encode()) if self._weighs else 0
        counted = await self._pace.admit(size)
        reserved = cost(self._price, TOKENS_AROUND + size, self._settings.max_tokens)
        await self._budget.wait_for(reserved)
        paid = 0.0
        try:
            tally.requests += 1
            async with asyncio.timeout(self._settings.timeout):
                said = await self._complete(request)
            if (used := believed(said.used, size, self._settings.max_tokens)) != said.used:
                said = replace(said, used=used)
            self._pace.correct(size, counted, said.used)
            whole = keepable_completion(said) if isinstance(said, Completion) else said
            free = isinstance(whole, Problem) and not whole.charged
            paid = tally.count(whole.used, 0.0 if free else reserved)
            return whole
        except Exception as error:
            problem = self._problem_of(error)
            paid = tally.charge(reserved if problem.charged else 0.0)
            return problem
        finally:
            self._budget.settle(reserved, paid)

    async def _pause(self, attempt: int, asked: float | None) -> None:
        if asked is not None:
            self._pace.hold(asked)
        await asyncio.sleep(back_off(attempt, asked, self._jitter))
