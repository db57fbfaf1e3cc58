"""Why an answer ended before it was whole: what servers call it, and what is said of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from serm.core.records import Failure

LENGTH, FILTER = "length", "content_filter"
_NAMES: Final[Mapping[str, str]] = {
    "length": LENGTH,  # OpenAI, Ollama, and most
    "max_tokens": LENGTH,  # Anthropic, Google
    "model_length": LENGTH,  # Mistral: the context was full
    "content_filter": FILTER,  # OpenAI
    "content_filtered": FILTER,  # Amazon
    "guardrail_intervened": FILTER,
    "safety": FILTER,  # Google
    "prohibited_content": FILTER,
    "blocklist": FILTER,
    "refusal": FILTER,  # Anthropic
}
_FIELDS: Final = ("finish_reason", "stop_reason", "done_reason")


def ending(said: object) -> str:
    """LENGTH or FILTER; "" where an answer ended by itself, or the server does not say."""
    return _NAMES.get(said.lower(), "") if isinstance(said, str) else ""


def ending_of(told: Mapping[str, Any]) -> str:
    """The same, of what a provider's package tells of a message."""
    return next(filter(None, (ending(told.get(name)) for name in _FIELDS)), "")


def explained(failure: Failure, end: str, limit: int) -> Failure:
    """Why an answer could not be read, where it was not whole: `limit` is what bounds its tokens."""
    why = cut_at(limit) if end == LENGTH else "cut off by the provider's content filter"
    return Failure(failure.kind, f"{why}: {failure.message}")


def cut_at(limit: int) -> str:
    """That an answer was cut off, by tokens; `limit` is 0 where nobody knows it."""
    return f"cut off at `llm.max_tokens`{f' = {limit} tokens' if limit else ''}, which may be raised"


def may_differ(request: Mapping[str, Any], text: str) -> bool:
    """Whether an answer that was cut off may come whole where the same is asked with another seed: not at
    temperature 0, and not where nothing at all was said (a model thought until its tokens were used up)."""
    return bool(text.strip()) and request.get("temperature") != 0
