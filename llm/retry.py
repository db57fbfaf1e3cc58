"""The one retry layer: what a failed request means, whether to ask again, and when."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
import openai

from serm.core.discretion import discreet
from serm.core.records import Failure, FailureKind
from serm.core.text import keepable
from serm.llm.too_long import is_too_long

FIRST_WAIT: Final = 0.5
"""Seconds before the first retry; doubled for each further one (chosen)."""
LONGEST_WAIT: Final = 30.0
"""Seconds that back-off reaches at most (chosen)."""
LONGEST_OBEYED: Final = 300.0
"""Seconds of a server's Retry-After that are waited for; where it asks for more, the call fails (chosen)."""
_TRANSPORTS: Final = ("httpx", "httpx2", "httpcore", "httpcore2")


@dataclass(frozen=True, slots=True)
class Problem:
    """A request that gave no answer."""

    failure: Failure
    again: bool  # whether asking again can help
    wait: float | None = None  # seconds that the server asked for
    objects: bool = False  # whether the server objects to what it was asked for
    charged: bool = False  # whether it may have been answered all the same, and be charged for
    end: str = ""  # of an answer that came and was not whole (`endings`)
    used: tuple[int, int] | None = None  # tokens read and written, where the server counted them all the same


def problem_of(error: Exception) -> Problem:
    """Sort an error of a request. 429, 5xx, timeouts, broken connections and answers that are no HTTP are
    asked again; 400, 401, 403, 404 and the like never; an error that is not the server's is raised."""
    if isinstance(error, openai.APIStatusError):
        return _of_status(error)
    if isinstance(error, (TimeoutError, openai.APIConnectionError)):
        causes = list(_causes(error))
        if any(isinstance(cause, TimeoutError) for cause in causes):
            return Problem(Failure(FailureKind.TIMEOUT, "no answer in time"), again=True, charged=True)
        failure = Failure(
            FailureKind.SERVER, f"the connection failed: {short(causes[min(1, len(causes) - 1)])}"
        )
        sent = not any(isinstance(cause, aiohttp.ClientConnectorError) for cause in causes)
        return Problem(failure, again=True, charged=sent)
    if _is_transport(error):  # the client library has no name of its own for it: a broken status line, ...
        said = getattr(error, "message", "") or str(error)  # aiohttp's text has a status that nobody sent
        failure = Failure(FailureKind.SERVER, f"no answer in HTTP: {one_line(said) or type(error).__name__}")
        return Problem(failure, again=True, charged=True)
    raise error


def _is_transport(error: Exception) -> bool:
    """Whether it is one of aiohttp's, or of httpx, which of its releases the client library may bring."""
    roots = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    return isinstance(error, aiohttp.ClientError) or not roots.isdisjoint(_TRANSPORTS)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it comes from: the client library's name for it differs by its transport."""
    while error is not None:
        yield error
        error = error.__cause__


def _of_status(error: openai.APIStatusError) -> Problem:
    code = error.code or ""
    return problem_of_status(error.status_code, short(error), error.response.headers.get("retry-after"), code)


def problem_of_status(status: int, said: str, asked: str | None = None, code: str = "") -> Problem:
    """What an HTTP status other than 200 means; `asked` is the Retry-After header, `code` OpenAI's."""
    message, wait = f"HTTP {status}: {said}", retry_after(asked)
    if status == 429 and code == "insufficient_quota":  # no wait will help
        return Problem(Failure(FailureKind.REFUSED, message), again=False)
    again = wait is None or wait <= LONGEST_OBEYED
    if status == 429:
        return Problem(Failure(FailureKind.RATE_LIMITED, message), again=again, wait=wait)
    if status == 408:
        return Problem(Failure(FailureKind.TIMEOUT, message), again=True)
    if status >= 500:
        return Problem(Failure(FailureKind.SERVER, message), again=again, wait=wait, objects=status == 501)
    if status in (400, 413, 422) and is_too_long(said):
        return Problem(Failure(FailureKind.TOO_LONG, message), again=False)
    return Problem(Failure(FailureKind.REFUSED, message), again=False, objects=status in (400, 422))


def retry_after(header: str | None, now: float | None = None) -> float | None:
    """Seconds that a Retry-After header asks for: a number or an HTTP date. None where it says neither."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        pass
    else:
        return None if math.isnan(seconds) else max(0.0, seconds)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - (time.time() if now is None else now))
    except (ValueError, OverflowError):  # no date, or one of a year that no clock has
        return None


def back_off(attempt: int, asked: float | None, jitter: random.Random) -> float:
    """Seconds to wait after request number `attempt` (from 0): a random time under a bound that doubles; no
    less than the server asked for, and a little more so that callers do not come back all at once. Where it
    asks for none, or its clock is late, callers still come back more and more seldom."""
    bound: float = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt)
    own = jitter.uniform(bound / 2, bound)
    return own if asked is None else max(own, asked + jitter.uniform(0, FIRST_WAIT / 2))


def short(error: BaseException) -> str:
    """An error's own words on one line, without what nobody may see: they are kept and shown."""
    body = error.body if isinstance(error, openai.APIStatusError) else None
    return one_line(said_in(body) or str(error)) or type(error).__name__


def said_in(body: object) -> str:
    """What the body of an error says, whatever its shape: the client library gives the message of OpenAI's
    own alone, and which part of a request is refused, or that it is too long, may stand beside it."""
    if isinstance(body, str):
        return body
    if not isinstance(body, Mapping) or not isinstance(body.get("message"), str):
        return json.dumps(body, ensure_ascii=False, default=str) if body else ""
    beside = [str(body[name]) for name in ("code", "param") if isinstance(body.get(name), str)]
    return str(body["message"]) + (f" ({', '.join(beside)})" if beside else "")


def one_line(said: str) -> str:
    """The same for words that are at hand."""
    text = discreet(" ".join(keepable(said).split()))
    return text if len(text) <= 300 else text[:297] + "..."
