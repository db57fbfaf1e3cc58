"""What an error of any provider's package means: they share no classes, but they share HTTP.

Some packages raise LangChain's own `ModelError`s beside their own; of the others the status says most, and
the name of the class the rest.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.exceptions import ContextOverflowError

from serm.core.records import Failure, FailureKind
from serm.llm.completions import problem_in_answer
from serm.llm.endings import FILTER, LENGTH
from serm.llm.retry import Problem, problem_of_status, short
from serm.llm.too_long import is_too_long

_APART: Final = ("ConnectionError", "ConnectError", "TransportError", "NetworkError", "ProtocolError")
_UNSENT: Final = frozenset(
    {
        "ClientConnectorError",  # aiohttp: refused, no such host, a handshake of TLS that failed
        "ConnectError",  # httpx: the same
        "ConnectTimeout",  # httpx, requests
        "ConnectTimeoutError",  # urllib3, botocore
        "ConnectionRefusedError",
        "ConnectionTimeoutError",  # aiohttp
        "EndpointConnectionError",  # botocore
        "NewConnectionError",  # urllib3
        "PoolTimeout",  # httpx: it waited for a connection, and got none
        "SSLCertVerificationError",
        "gaierror",  # no such host
    }
)
"""Errors of a connection that did not come about."""
_STOOD: Final = ("Read", "Write", "RemoteProtocol")
"""How errors of a connection that stood begin: what else is in their chain is of an earlier attempt."""
_NO_ROUTE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})
_ENDS: Final = {"LengthFinishReason": LENGTH, "ContentFilterFinishReason": FILTER}
"""How errors begin that a package raises of an answer that is not whole."""
_STATUSES: Final = ("status_code", "http_status", "status", "code")


def problem_of_provider(error: Exception) -> Problem:
    """Sort an error of a provider's package. What cannot be told is the provider's fault, and asked again."""
    status, said = _status(error), short(error)
    if isinstance(error, ContextOverflowError) or (status is None and is_too_long(str(error))):
        return Problem(Failure(FailureKind.TOO_LONG, said), again=False)
    if (sent := _sent_as_answer(error)) is not None:
        return problem_in_answer(sent)
    if status is not None:
        return problem_of_status(status, said, _retry_after(error), str(getattr(error, "code", "")))
    causes = _causes(error)
    names = [cls.__name__ for cause in causes for cls in type(cause).__mro__]
    reached = _may_be_sent(causes, names)
    if any("Timeout" in name for name in names):
        return Problem(Failure(FailureKind.TIMEOUT, "no answer in time"), again=True, charged=reached)
    if not reached or any(name.endswith(_APART) for name in names):
        failure = Failure(FailureKind.SERVER, f"the connection failed: {said}")
        return Problem(failure, again=True, charged=reached)
    end = next((end for name in names for start, end in _ENDS.items() if name.startswith(start)), "")
    kind = FailureKind.UNPARSABLE if end else FailureKind.SERVER
    return Problem(Failure(kind, f"{type(error).__name__}: {said}"), again=True, charged=True, end=end)


def _sent_as_answer(error: Exception) -> Mapping[str, Any] | None:
    """The error that a gateway sent under status 200: LangChain raises what it says, as it is."""
    told = error.args[0] if isinstance(error, ValueError) and error.args else None
    return told if isinstance(told, Mapping) else None


def _may_be_sent(causes: Sequence[BaseException], names: Sequence[str]) -> bool:
    """Whether a request can have reached its server. What could not be sent costs nothing."""
    no_route = any(isinstance(cause, OSError) and cause.errno in _NO_ROUTE for cause in causes)
    unsent = no_route or not _UNSENT.isdisjoint(names)
    return not unsent or any(name.startswith(_STOOD) for name in names)


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
