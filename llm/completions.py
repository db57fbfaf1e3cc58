"""What a server's body says: a completion, as OpenAI's chat completions have it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from serm.core.discretion import discreet
from serm.core.records import Failure, FailureKind
from serm.core.text import keepable
from serm.llm.asking import Token, ToolCall, Turn
from serm.llm.endings import ending
from serm.llm.model_json import try_json
from serm.llm.retry import Problem, one_line, problem_of_status, said_in

_NO_COUNT: Final = 10**7
"""Tokens that no request takes (chosen: over any context)."""


@dataclass(frozen=True, slots=True)
class Completion:
    """The first choice of an answer, and what the server counted."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    tokens: tuple[Token, ...] = ()
    used: tuple[int, int] | None = None  # tokens read and written; None where the server does not say
    end: str = ""  # why it is not whole (`endings`); "" where it is, or the server does not say


def read_completion(body: bytes) -> Completion | Problem:
    """Take a body apart; a problem where it is no completion. What a server leaves out is empty.

    It is read by hand: building the client library's models took most of a call's time (docs/performance.md).
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        page = body.lstrip()[:1] == b"<"  # of a proxy that wants a login, or says that its server is away
        kind = FailureKind.SERVER if page else FailureKind.UNPARSABLE
        return Problem(Failure(kind, f"a broken body: {_short(body)}"), again=True, charged=not page)
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        text = _text(message.get("content"))
        calls = tuple(_calls(message.get("tool_calls") or ()))
        used = _used(answer.get("usage"))
        return Completion(
            text=text,
            calls=calls,
            tokens=read_tokens(choice.get("logprobs")),
            used=None if used is not None and (text or calls) and not used[1] else used,
            end=ending(choice.get("finish_reason")),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return _no_completion(answer, body)


def _no_completion(answer: object, body: bytes) -> Problem:
    """What is wrong with a body of status 200 that has no answer. Gateways send errors so: nothing was
    answered, and many in a row say that the server is away."""
    told: Mapping[str, Any] = answer if isinstance(answer, dict) else {}
    if error := told.get("error"):
        return problem_in_answer(error)
    kind = FailureKind.UNPARSABLE if told.get("choices") else FailureKind.SERVER
    failure = Failure(kind, f"a broken body: {_short(body)}")
    return Problem(failure, again=True, charged=True, used=_used(told.get("usage")))


def problem_in_answer(error: object) -> Problem:
    """What the error means that a gateway sends under status 200. Nothing was answered, and costs nothing."""
    code = str(error.get("code") or "") if isinstance(error, Mapping) else ""
    said = one_line(said_in(error))
    if code.isdecimal() and 400 <= int(code) < 600:
        return problem_of_status(int(code), said)
    if code == "insufficient_quota":
        return problem_of_status(429, said, code=code)
    return Problem(Failure(FailureKind.SERVER, f"an error of status 200: {said}"), again=True)


def turn_of(completion: Completion) -> Turn:
    """A completion as a turn of a conversation with tools."""
    return Turn(completion.text, completion.calls)


def is_torn(completion: Completion) -> bool:
    """Whether a turn that is not whole broke off before a call or within one, or within an answer in JSON.
    Prose that broke off is prose: whoever asked says what is wrong with it."""
    if completion.calls:
        return any(try_json(call.arguments) is None for call in completion.calls)
    text = completion.text.strip()
    return not text or (text.startswith("{") and try_json(text) is None)


def keepable_completion(said: Completion) -> Completion:
    """The same with its texts made keepable: they go into judgments, traces and the next request."""
    calls = (ToolCall(keepable(c.id), keepable(c.name), keepable(c.arguments)) for c in said.calls)
    return replace(said, text=keepable(said.text), calls=tuple(calls))


def _text(content: object) -> str:
    """A message's text, which some servers give in parts; parts of another kind (thoughts) are no answer."""
    if isinstance(content, list):
        return "".join(_text(part.get("text") if isinstance(part, dict) else part) for part in content)
    if content is not None and not isinstance(content, str):
        raise TypeError(f"a {type(content).__name__} for a text")
    return content or ""


def _calls(calls: Iterable[Mapping[str, Any]]) -> Iterable[ToolCall]:
    for call in calls:
        function = call["function"]
        arguments = function.get("arguments") or ""
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)  # some servers parse them
        name = function["name"]
        yield ToolCall(str(call.get("id") or ""), name if isinstance(name, str) else "", text)


def read_tokens(logprobs: Mapping[str, Any] | None) -> tuple[Token, ...]:
    """OpenAI's log-probabilities of an answer as tokens, with what could have stood in the place of each.

    Where they cannot be read there are none: the answer was paid for, and is good without them.
    """
    try:
        return tuple(map(_token, (logprobs or {}).get("content") or ()))
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return ()


def _token(place: Mapping[str, Any]) -> Token:
    likely = {other["token"]: float(other["logprob"]) for other in place.get("top_logprobs") or ()}
    likely.setdefault(place["token"], float(place["logprob"]))  # what was said need not be among them
    if not all(isinstance(text, str) for text in likely):
        raise TypeError("a token that is no text")
    return Token(place["token"], tuple(sorted(likely.items(), key=lambda item: -item[1])))


def _used(usage: object) -> tuple[int, int] | None:
    if not isinstance(usage, dict):
        return None
    return counted(usage.get("prompt_tokens"), usage.get("completion_tokens"))


def counted(read: object, written: object) -> tuple[int, int] | None:
    """Tokens read and written, as a server counts them; None where it does not say, or says what is no count
    (-5, Infinity, nothing read): such a request is paid for as the most that it can have cost."""
    counts = (_count(read), _count(written))
    return None if None in counts or not counts[0] else cast(tuple[int, int], counts)


def _count(value: object) -> int | None:
    try:
        count = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return None
    return count if 0 <= count < _NO_COUNT else None


def _short(body: bytes) -> str:
    words = body[:4_000].decode(errors="replace").split()
    text = discreet(" ".join(words))  # before it is cut: half a key is one
    return repr(text if len(text) <= 200 else text[:197] + "...")
