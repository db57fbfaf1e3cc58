"""What an error of any provider's package means: they share no classes, but they share HTTP.

Some packages raise LangChain's own `ModelError`s beside their own; of the others the status says most, and
the name of the class the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_core.exceptions import ContextOverflowError

from serm.core.records import Failure, FailureKind
from serm.llm.endings import FILTER, LENGTH
from serm.llm.retry import Problem, problem_of_status, short
from serm.llm.too_long import is_too_long

_APART: Final = ("ConnectionError", "ConnectError", "TransportError", "NetworkError", "ProtocolError")
_ENDS: Final = {"LengthFinishReason": LENGTH, "ContentFilterFinishReason": FILTER}
"""How errors begin that a package raises of an answer that is not whole."""
_STATUSES: Final = ("status_code", "http_status", "status", "code")


def problem_of_provider(error: Exception) -> Problem:
    """Sort an error of a provider's package. What cannot be told is the provider's fault, and asked again."""
    status, said = _status(error), short(error)
    if isinstance(error, ContextOverflowError) or (status is None and is_too_long(str(error))):
        return Problem(Failure(FailureKind.TOO_LONG, said), again=False)
    if status is not None:
        return problem_of_status(status, said, _retry_after(error), str(getattr(error, "code", "")))
    names = [cls.__name__ for cause in _causes(error) for cls in type(cause).__mro__]
    if any("Timeout" in name for name in names):
        return Problem(Failure(FailureKind.TIMEOUT, "no answer in time"), again=True, charged=True)
    if any(name.endswith(_APART) for name in names):
        failure = Failure(FailureKind.SERVER, f"the connection failed: {said}")
        return Problem(failure, again=True, charged="ConnectionRefusedError" not in names)
    end = next((end for name in names for start, end in _ENDS.items() if name.startswith(start)), "")
    kind = FailureKind.UNPARSABLE if end else FailureKind.SERVER
    return Problem(Failure(kind, f"{type(error).__name__}: {said}"), again=True, charged=True, end=end)


def _status(error: Exception) -> int | None:
    """The HTTP status of an error or of its response, where it has one."""
    for holder in (error, _response(error)):
        for name in _STATUSES:
            value = getattr(holder, name, None)
            if isinstance(value, int) and 400 <= value < 600:
                return int(value)
    response = _response(error)
    told = response.get("ResponseMetadata") if isinstance(response, Mapping) else None  # Amazon's
    return told.get("HTTPStatusCode") if isinstance(told, Mapping) else None


def _response(error: Exception) -> Any:
    return getattr(error, "response", None)


def _retry_after(error: Exception) -> str | None:
    headers = getattr(_response(error), "headers", None)
    value = headers.get("retry-after") if isinstance(headers, Mapping) else None
    return value if isinstance(value, str) else None


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
