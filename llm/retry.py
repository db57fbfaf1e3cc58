"""The one retry layer: what a failed request means, whether to ask again, and when."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import openai

from serm.core.records import Failure, FailureKind

FIRST_WAIT: Final = 0.5
"""Seconds before the first retry; doubled for each further one (chosen)."""
LONGEST_WAIT: Final = 30.0
"""Seconds that back-off reaches at most (chosen)."""
LONGEST_OBEYED: Final = 300.0
"""Seconds of a server's Retry-After that are waited for; where it asks for more, the call fails (chosen)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A request that gave no answer."""

    failure: Failure
    again: bool  # whether asking again can help
    wait: float | None = None  # seconds that the server asked for


def problem_of(error: Exception) -> Problem:
    """Sort an error of a request. 429, 5xx, timeouts, broken connections and broken bodies are asked again;
    400, 401, 403, 404 and the like never; an error that is not the server's is raised."""
    if isinstance(error, (TimeoutError, openai.APITimeoutError)):
        return Problem(Failure(FailureKind.TIMEOUT, "no answer in time"), again=True)
    if isinstance(error, openai.APIStatusError):
        return _of_status(error)
    if isinstance(error, (openai.APIResponseValidationError, json.JSONDecodeError)):
        return Problem(Failure(FailureKind.UNPARSABLE, f"a broken body: {_short(error)}"), again=True)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        return Problem(Failure(FailureKind.SERVER, f"the connection failed: {_short(cause)}"), again=True)
    raise error


def _of_status(error: openai.APIStatusError) -> Problem:
    status = error.status_code
    message = f"HTTP {status}: {_short(error)}"
    if status == 429 and error.code == "insufficient_quota":  # no wait will help
        return Problem(Failure(FailureKind.REFUSED, message), again=False)
    if status == 429:
        wait = retry_after(error.response.headers.get("retry-after"))
        again = wait is None or wait <= LONGEST_OBEYED
        return Problem(Failure(FailureKind.RATE_LIMITED, message), again=again, wait=wait)
    if status == 408:
        return Problem(Failure(FailureKind.TIMEOUT, message), again=True)
    if status >= 500:
        wait = retry_after(error.response.headers.get("retry-after"))
        return Problem(Failure(FailureKind.SERVER, message), again=True, wait=wait)
    return Problem(Failure(FailureKind.REFUSED, message), again=False)


def retry_after(header: str | None, now: float | None = None) -> float | None:
    """Seconds that a Retry-After header asks for: a number or an HTTP date. None where it says neither."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - (time.time() if now is None else now))
    except ValueError:
        return None


def back_off(attempt: int, asked: float | None, jitter: random.Random) -> float:
    """Seconds to wait after request number `attempt` (from 0): what the server asked for, and a little more
    so that callers do not come back all at once; else a random time under a bound that doubles."""
    if asked is not None:
        return asked + jitter.uniform(0, FIRST_WAIT / 2)
    bound: float = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt)
    return jitter.uniform(bound / 2, bound)


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
