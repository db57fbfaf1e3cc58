"""Any server that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp and others."""

from __future__ import annotations

import os
from typing import Any, Final
from urllib.parse import unquote

from openai import AsyncOpenAI, DefaultAioHttpClient

from serm.core.errors import ConfigError
from serm.core.settings_loop import LlmSettings, Price
from serm.llm.budget import Budget
from serm.llm.completions import Completion, read_completion
from serm.llm.exchange import Exchange
from serm.llm.retry import Problem
from serm.llm.spec import BackendSpec

NO_KEY: Final = "EMPTY"
"""What servers of one's own are sent where OPENAI_API_KEY is not set."""
_VARIABLE: Final = "OPENAI_API_KEY"


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
    ) -> None:
        """Raises ConfigError where the model is OpenAI's and OPENAI_API_KEY is not set, or is no key."""
        limit = "max_tokens" if spec.target else "max_completion_tokens"
        super().__init__(spec.model, settings, seed=seed, price=price, budget=budget, limit=limit)
        self._client = AsyncOpenAI(
            api_key=api_key(spec),
            base_url=spec.target or None,
            timeout=None,  # the clock is ours: it also covers an answer that comes drop by drop
            max_retries=0,
            http_client=DefaultAioHttpClient(timeout=None, auth=basic_login(spec)),
        )

    async def _complete(self, request: dict[str, Any]) -> Completion | Problem:
        return read_completion(await self._client.post("/chat/completions", cast_to=bytes, body=request))

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


def api_key(spec: BackendSpec) -> str:
    """The key to send: OPENAI_API_KEY, or a placeholder for a server of one's own. White space around it is
    left out: a file with Windows' line ends leaves a "\\r".

    Raises ConfigError where there has to be a key and is none, or where it cannot stand in a request.
    """
    key = os.environ.get(_VARIABLE, "").strip()
    if not key and not spec.target:
        raise ConfigError(
            f"`{spec.text}` needs a key, and {_VARIABLE} is not set.",
            "Set it, or name a server of your own: `http://localhost:8000/v1#MODEL`.",
        )
    if not (key.isascii() and key.isprintable()):  # it is not shown: most of it may be the key
        raise ConfigError(
            f"{_VARIABLE} holds a character that no key has: a line break, or one that is not ASCII.",
            "Set it anew, by the key alone.",
        )
    return key or NO_KEY
