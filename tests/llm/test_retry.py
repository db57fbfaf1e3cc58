"""Errors of a request that the client library has no name for."""

from __future__ import annotations

import aiohttp
import httpx
import pytest

from serm.core import FailureKind
from serm.llm.retry import problem_of


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ClientPayloadError("half an answer"),
        aiohttp.TooManyRedirects(None, (), message="round and round"),  # type: ignore[arg-type]
        httpx.RemoteProtocolError("illegal status line"),
        httpx.DecodingError("no gzip"),
    ],
)
def test_what_the_transport_raises_is_the_server_s_and_asked_again(error: Exception) -> None:
    problem = problem_of(error)
    assert (problem.failure.kind, problem.again, problem.charged) == (FailureKind.SERVER, True, True)


def test_a_bug_is_no_failure_of_a_server() -> None:
    with pytest.raises(ZeroDivisionError):
        problem_of(ZeroDivisionError("a bug"))
