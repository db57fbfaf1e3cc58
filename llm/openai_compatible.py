"""Any server that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp and others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from openai import APIStatusError, AsyncOpenAI, DefaultAioHttpClient

from serm.core.settings_loop import LlmSettings, Price
from serm.llm.budget import Budget
from serm.llm.completions import Completion, read_completion
from serm.llm.exchange import Exchange
from serm.llm.keys import KEY_REFUSED, api_key, body_without_key, hide_key, key_hint
from serm.llm.retry import Problem, problem_of
from serm.llm.spec import BackendSpec


class ChatClient(Exchange):
    """One model on one server."""

    writes = True

    def __init__(
        self,
        spec: BackendSpec,
        settings: LlmSettings,
        *,
        seed: int = 0,
        price: Price | None = None,
        budget: Budget | None = None,
        key_variable: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """`key_variable` holds the key (`api_key_env`); "": OpenAI's servers get OPENAI_API_KEY, others none.

        Raises ConfigError where a key is not set that has to be, or is no key.
        """
        limit = "max_tokens" if spec.target else "max_completion_tokens"
        super().__init__(
            spec.model, settings, seed=seed, price=price, budget=budget, limit=limit, options=options
        )
        self._key, self._hint = api_key(spec, key_variable), key_hint(spec, key_variable)
        self._client = AsyncOpenAI(
            api_key=self._key,
            base_url=spec.target or None,
            timeout=None,  # the clock is ours: it also covers an answer that comes drop by drop
            max_retries=0,
            http_client=DefaultAioHttpClient(timeout=None, auth=basic_login(spec)),
        )

    async def _complete(self, request: dict[str, Any]) -> Completion | Problem:
        body = await self._client.post("/chat/completions", cast_to=bytes, body=request)
        said = read_completion(body_without_key(body, self._key))  # a problem quotes it, and cuts it
        return self._with_hint(said) if isinstance(said, Problem) else said

    def _problem_of(self, error: Exception) -> Problem:
        if isinstance(error, APIStatusError):
            hide_key(error, self._key)
        return self._with_hint(problem_of(error))

    def _with_hint(self, problem: Problem) -> Problem:
        """Where it is the key that is refused, the same with what to do."""
        failure = problem.failure
        if not self._hint or not failure.message.startswith(KEY_REFUSED):
            return problem
        said = f"{failure.message.rstrip('.')}. {self._hint}"
        return replace(problem, failure=replace(failure, message=said))

    async def close(self) -> None:
        await self._client.close()


def basic_login(spec: BackendSpec) -> tuple[str, str] | None:
    """User and password of a server that asks for them, in place of a key; None where its URL has none.

    They are handed to the client apart from the URL, which it writes to its log and into errors.
    """
    if not spec.login:
        return None
    user, _, password = spec.login.partition(":")
    return unquote(user), unquote(password)
