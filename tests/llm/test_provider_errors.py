"""Errors of packages that share no classes, sorted by what they share."""

from __future__ import annotations

import errno
import socket
import ssl
from http import HTTPStatus
from typing import Any

import aiohttp
import httpx
import pytest
from langchain_core.exceptions import ContextOverflowError

from serm.core import FailureKind
from serm.llm.provider_errors import problem_of_provider

REQUEST = httpx.Request("POST", "http://127.0.0.1")


class ProviderError(Exception):
    def __init__(self, message: str = "no", **facts: Any) -> None:
        super().__init__(message)
        for name, value in facts.items():
            setattr(self, name, value)


class APITimeoutError(Exception):
    pass


def http_error(status: int, **headers: str) -> httpx.HTTPStatusError:
    response = httpx.Response(status, headers=headers, request=REQUEST)
    return httpx.HTTPStatusError("no", request=REQUEST, response=response)


def caused_by(cause: Exception) -> Exception:
    try:
        try:
            raise cause
        except Exception as inner:
            raise ProviderError("it failed") from inner
    except ProviderError as error:
        return error


@pytest.mark.parametrize(
    ("error", "kind", "again"),
    [
        (ProviderError(status_code=429), FailureKind.RATE_LIMITED, True),
        (ProviderError(code=HTTPStatus.SERVICE_UNAVAILABLE), FailureKind.SERVER, True),
        (ProviderError(http_status=401), FailureKind.REFUSED, False),
        (http_error(529), FailureKind.SERVER, True),
        (http_error(403), FailureKind.REFUSED, False),
        (
            ProviderError(response={"ResponseMetadata": {"HTTPStatusCode": 429}}),
            FailureKind.RATE_LIMITED,
            True,
        ),
        (ProviderError("input is too long for the model", status_code=400), FailureKind.TOO_LONG, False),
        (ContextOverflowError("too much"), FailureKind.TOO_LONG, False),
        (TimeoutError(), FailureKind.TIMEOUT, True),
        (APITimeoutError(), FailureKind.TIMEOUT, True),
        (caused_by(httpx.ReadTimeout("slow")), FailureKind.TIMEOUT, True),
        (caused_by(httpx.ConnectError("no route")), FailureKind.SERVER, True),
        (ConnectionRefusedError("refused"), FailureKind.SERVER, True),
        (ProviderError(code="weird", status=7), FailureKind.SERVER, True),
        (KeyError("choices"), FailureKind.SERVER, True),
    ],
)
def test_an_error_is_sorted_by_its_status_its_name_or_its_cause(
    error: Exception, kind: FailureKind, again: bool
) -> None:
    problem = problem_of_provider(error)
    assert (problem.failure.kind, problem.again) == (kind, again)


def test_a_retry_after_is_read_and_an_unknown_error_is_named() -> None:
    assert problem_of_provider(http_error(429, **{"retry-after": "7"})).wait == 7
    assert problem_of_provider(KeyError("choices")).failure.message == "KeyError: 'choices'"
    assert problem_of_provider(ProviderError("strange")).charged is True


@pytest.mark.parametrize(
    ("told", "kind", "again"),
    [
        ({"message": "overloaded", "code": 503}, FailureKind.SERVER, True),
        ({"message": "overloaded", "code": "503"}, FailureKind.SERVER, True),
        ({"message": "slow down", "code": 429}, FailureKind.RATE_LIMITED, True),
        ({"message": "no credit", "code": 402}, FailureKind.REFUSED, False),
        ({"message": "no credit", "code": "insufficient_quota"}, FailureKind.REFUSED, False),
        ({"message": "something", "code": 7}, FailureKind.SERVER, True),
        ({"message": "something"}, FailureKind.SERVER, True),
    ],
)
def test_an_error_that_a_gateway_sends_under_status_200_costs_nothing_and_is_sorted_by_its_code(
    told: dict[str, Any], kind: FailureKind, again: bool
) -> None:
    """LangChain raises it as it is."""
    problem = problem_of_provider(ValueError(told))
    assert (problem.failure.kind, problem.again, problem.charged) == (kind, again, False)
    assert told["message"] in problem.failure.message
    assert "{" not in problem.failure.message
    assert problem_of_provider(ValueError("no mapping")).charged


class ConnectTimeoutError(Exception):
    """As urllib3 and botocore have one."""


@pytest.mark.parametrize(
    "cause",
    [
        ConnectionRefusedError("refused"),
        ConnectTimeoutError("slow"),
        OSError(errno.EHOSTUNREACH, "no route to host"),
        OSError(errno.ENETUNREACH, "network is unreachable"),
        aiohttp.ConnectionTimeoutError("slow"),
        httpx.ConnectError("TLS handshake failed"),
        httpx.ConnectTimeout("slow"),
        httpx.PoolTimeout("no connection is free"),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        ssl.SSLCertVerificationError("certificate verify failed"),
    ],
    ids=lambda cause: f"{type(cause).__name__}-{getattr(cause, 'errno', '')}",
)
def test_what_could_not_be_sent_costs_nothing(cause: Exception) -> None:
    for error in (cause, caused_by(cause)):
        problem = problem_of_provider(error)
        assert (problem.again, problem.charged) == (True, False)
        assert problem.failure.kind in (FailureKind.SERVER, FailureKind.TIMEOUT)


@pytest.mark.parametrize(
    "cause",
    [
        TimeoutError(),
        ConnectionResetError("reset"),
        OSError(errno.EIO, "strange"),
        httpx.ReadError("broken"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("broken"),
        httpx.WriteError("broken"),
        ssl.SSLError("bad record"),
    ],
    ids=lambda cause: type(cause).__name__,
)
def test_what_may_have_been_sent_may_be_charged(cause: Exception) -> None:
    for error in (cause, caused_by(cause)):
        assert problem_of_provider(error).charged


def test_a_request_that_was_sent_at_the_second_attempt_may_be_charged() -> None:
    late = httpx.ReadTimeout("slow")
    late.__context__ = httpx.ConnectError("refused")
    assert problem_of_provider(caused_by(late)).charged
