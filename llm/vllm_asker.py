"""A judge's model that vLLM runs in this process: how it is asked, and what its answers mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Final

from serm.core.errors import BudgetExceededError, MissingDependencyError
from serm.core.records import Failure, FailureKind
from serm.core.settings_loop import LlmSettings, Price
from serm.llm.asking import Message, Reply, T, Turn, heard
from serm.llm.budget import Budget, most
from serm.llm.engine import HiccupError, Said, StalledError, TooLongError, UnfitError, Wish
from serm.llm.tally import Tally
from serm.llm.vllm_engine import ENGINES, Engines
from serm.llm.written_calls import call_schema, written_turn

_UNREAD: Final = 1_000_003
"""Added to the seed for each answer of a path that could not be read (chosen: no path comes near it)."""
_KINDS: Final[Mapping[type[Exception], FailureKind]] = {
    UnfitError: FailureKind.REFUSED,
    TooLongError: FailureKind.TOO_LONG,
    StalledError: FailureKind.TIMEOUT,
}
_DECISIVE: Final = (
    "dtype",
    "generation_config",
    "hf_overrides",
    "kv_cache_dtype",
    "load_format",
    "quantization",
    "revision",
    "seed",
    "tokenizer",
    "tokenizer_revision",
)
"""Engine arguments that decide what a model says. The others decide how fast it does."""


def _require_vllm() -> None:
    if find_spec("vllm") is None:
        raise MissingDependencyError(
            "models of the kind `vllm:` need vLLM, and it is not installed.",
            "`pip install vllm`, or name a server: `http://localhost:8000/v1#MODEL`.",
        )


class VllmAsker:
    """Fulfils `Asker` and `Converser`. Judges of one model share its engine, whatever their prompts."""

    simulated = False
    remote = True  # its calls take seconds and can be lost in a kill, as a server's can

    def __init__(
        self,
        model: str,
        settings: LlmSettings,
        *,
        location: str = "",
        seed: int = 0,
        price: Price | None = None,
        budget: Budget | None = None,
        engines: Engines | None = None,
    ) -> None:
        """`location` is where the model lies, if not in a hub under its name. Nothing is loaded before the
        first question. Raises MissingDependencyError where vLLM is not installed."""
        _require_vllm()
        self.model, self._settings, self._seed = model, settings, seed
        self._price, self._budget = price, budget or Budget(None)
        decisive = {name: value for name, value in settings.vllm.items() if name in _DECISIVE}
        self.sampling: Mapping[str, object] = {
            "temperature": settings.temperature,
            "path_temperature": settings.path_temperature,
            "max_tokens": settings.max_tokens,
            "seed": seed,
            **({"vllm": decisive} if decisive else {}),
        }
        self.deterministic = settings.temperature == settings.path_temperature == 0
        self._engines = engines or ENGINES
        self._engine = self._engines.borrow(location or model, settings.vllm)

    async def ask(
        self,
        messages: Sequence[Message],
        read: Callable[[str], T | Failure],
        *,
        schema: dict[str, Any],
        path: int,
        logprobs: bool = False,
    ) -> Reply[T]:
        """Ask until `read` makes a value of the text, the engine refuses, or the retries run out.

        Path 0 is sampled at `temperature`, further ones at `path_temperature`, each with a seed of its own.
        At temperature 0 an answer that cannot be read is not asked for again: it would be the same. Raises
        JudgeError where the engine has died, BudgetExceededError where not even the first request is within
        budget; where a further one is not, the reply is a failure of that kind.
        """
        wish = self._wish(messages, schema, path)
        return await self._until_read(replace(wish, watched=_values(schema)) if logprobs else wish, read)

    async def turn(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]], *, path: int
    ) -> Reply[Turn]:
        """The model's next turn, held to a call of one of the tools. Errors as those of `ask`."""
        wish = replace(self._wish(messages, call_schema(tools), path), tools=tools)
        return await self._until_read(wish, written_turn)

    async def close(self) -> None:
        """Give the engine back; the last judge to do so frees the device."""
        await asyncio.to_thread(self._engines.give_back, self._engine)

    def _wish(self, messages: Sequence[Message], schema: dict[str, Any], path: int) -> Wish:
        chosen = self._settings
        return Wish(
            messages,
            schema,
            temperature=chosen.path_temperature if path else chosen.temperature,
            seed=self._seed + path,
            max_tokens=chosen.max_tokens,
        )

    async def _until_read(self, wish: Wish, read: Callable[[str], T | Failure]) -> Reply[T]:
        tally, unread, failure = Tally(self._price), 0, Failure(FailureKind.SERVER)
        for _ in range(self._settings.retries + 1):
            try:
                said = await self._request(replace(wish, seed=wish.seed + _UNREAD * unread), tally)
            except BudgetExceededError as error:
                if not tally.requests:
                    raise
                return tally.failed(Failure(FailureKind.OVER_BUDGET, error.message))
            except HiccupError as error:
                failure = Failure(FailureKind.SERVER, str(error))
                continue
            except (UnfitError, StalledError) as error:
                return tally.failed(Failure(_KINDS[type(error)], str(error)))
            value = heard(read, said.text)
            if not isinstance(value, Failure):
                return replace(tally.reply(value, said.tokens), cut=said.cut)
            failure = _explained(value, said)
            if failure.kind is not FailureKind.UNPARSABLE or wish.temperature == 0:
                break
            unread += 1
        return tally.failed(failure)

    async def _request(self, wish: Wish, tally: Tally) -> Said:
        """One request, within budget."""
        texts = [json.dumps(item, ensure_ascii=False) for item in (*wish.messages, *wish.tools)]
        reserved, paid = most(self._price, texts, wish.max_tokens), 0.0
        await self._budget.wait_for(reserved)
        tally.requests += 1
        try:
            said = await self._engine.generate(wish)
            paid = tally.count((said.tokens_in, said.tokens_out), reserved)
            return said
        finally:
            self._budget.settle(reserved, paid)


def _explained(failure: Failure, said: Said) -> Failure:
    if not said.cut:
        return failure
    cut = f"cut off after {said.tokens_out} tokens (`llm.max_tokens`): {failure.message}"
    return Failure(failure.kind, cut)


def _values(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The numbers that an answer may give: their tokens' log-probabilities are worth having."""
    return tuple(
        str(value) for part in schema.get("properties", {}).values() for value in part.get("enum", ())
    )
