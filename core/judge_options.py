"""Which parts of a request a judge's `options` may not be: those that serm sets itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_MODEL: Final = "the backend's string names the model"
_TOOLS: Final = "`knowledge` decides whether there are tools"
_LENGTH: Final = "`llm.max_tokens` sets it, and the budget counts on it"
_PATHS: Final = "answers are asked for one by one: `agreement.paths`"
_WHOLE: Final = "answers are read whole"
_LOGPROBS: Final = "`logprobs` of the judge sets it"
_BODY: Final = "options are parts of the body: write them side by side under `options`"
_NO_OPTIONS: Final[Mapping[str, str]] = {
    "model": _MODEL,
    "messages": "the prompt makes them",
    "n": _PATHS,
    "best_of": _PATHS,
    "stream": _WHOLE,
    "stream_options": _WHOLE,
    "temperature": "`llm.temperature` and `llm.path_temperature` set it",
    "seed": "`random_seed` and the path set it",
    "max_tokens": _LENGTH,
    "max_completion_tokens": _LENGTH,
    "response_format": "the prompt's `fields` make the schema of an answer",
    "tools": _TOOLS,
    "tool_choice": _TOOLS,
    "functions": _TOOLS,
    "function_call": _TOOLS,
    "logprobs": _LOGPROBS,
    "top_logprobs": _LOGPROBS,
    "extra_body": _BODY,
    "extra_headers": _BODY,
    "extra_query": _BODY,
}
"""Parts of a request that serm sets itself, or that are none, and what to do instead."""


def check_options(options: Mapping[str, Any]) -> None:
    """Raises ValueError for a part that serm sets itself."""
    if name := next(filter(_NO_OPTIONS.__contains__, options), None):
        raise ValueError(f"`{name}` is no option: {_NO_OPTIONS[name]}")
