"""What a server's body says: a completion, as OpenAI's chat completions have it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from serm.core.discretion import discreet
from serm.core.records import Failure, FailureKind
from serm.llm.asking import Token, ToolCall, Turn


@dataclass(frozen=True, slots=True)
class Completion:
    """The first choice of an answer, and what the server counted."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    tokens: tuple[Token, ...] = ()
    used: tuple[int, int] | None = None  # tokens read and written; None where the server does not say


def read_completion(body: bytes) -> Completion | Failure:
    """Take a body apart; a failure where it is no completion. What a server leaves out is empty.

    It is read by hand: building the client library's models took most of a call's time (docs/performance.md).
    """
    try:
        answer = json.loads(body)
        message = answer["choices"][0]["message"]
        return Completion(
            text=message.get("content") or "",
            calls=tuple(_calls(message.get("tool_calls") or ())),
            tokens=tuple(read_tokens(answer["choices"][0].get("logprobs"))),
            used=_used(answer.get("usage")),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Failure(FailureKind.UNPARSABLE, f"a broken body: {_short(body)}")


def turn_of(completion: Completion) -> Turn:
    """A completion as a turn of a conversation with tools."""
    return Turn(completion.text, completion.calls)


def _calls(calls: Iterable[Mapping[str, Any]]) -> Iterable[ToolCall]:
    for call in calls:
        function = call["function"]
        arguments = function.get("arguments") or ""
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)  # some servers parse them
        yield ToolCall(str(call.get("id") or ""), str(function["name"]), text)


def read_tokens(logprobs: Mapping[str, Any] | None) -> Iterable[Token]:
    """OpenAI's log-probabilities of an answer as tokens, with what could have stood in the place of each."""
    for place in (logprobs or {}).get("content") or ():
        likely = {other["token"]: float(other["logprob"]) for other in place.get("top_logprobs") or ()}
        likely.setdefault(place["token"], float(place["logprob"]))  # what was said need not be among them
        yield Token(place["token"], tuple(sorted(likely.items(), key=lambda item: -item[1])))


def _used(usage: Mapping[str, Any] | None) -> tuple[int, int] | None:
    if not usage or usage.get("prompt_tokens") is None:
        return None
    return int(usage["prompt_tokens"]), int(usage.get("completion_tokens") or 0)


def _short(body: bytes) -> str:
    text = discreet(" ".join(body[:400].decode(errors="replace").split()))
    return repr(text if len(text) <= 200 else text[:197] + "...")
