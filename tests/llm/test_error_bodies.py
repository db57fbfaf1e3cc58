"""Errors in the shapes that servers give them: what they say is read, and none of them is a grade."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from chat_clients import Use, ask
from chat_stub import ChatStub, Move, Raw, Status, grade

from serm.core import FailureKind
from serm.core.settings_loop import Price
from serm.llm.asking import Reply
from serm.llm.completions import read_completion
from serm.llm.openai_compatible import ChatClient
from serm.llm.retry import Problem, back_off, retry_after

SHAPES = {
    "openai": lambda said: {"error": {"message": said, "type": "error", "code": None}},
    "fastapi": lambda said: {"detail": said},
    "pydantic": lambda said: {"detail": [{"loc": ["body"], "msg": said}]},
    "flat": lambda said: {"error": said},
    "vllm of before": lambda said: {"object": "error", "message": said},
    "nested": lambda said: {"message": {"detail": said}},
    "a text": lambda said: said,
}
"""Of OpenAI's, FastAPI's, TGI's and LM Studio's, Mistral's and of proxies."""


def refusal(shape: str, said: str) -> Status:
    body = SHAPES[shape](said)
    return Status(400, body=(body if isinstance(body, str) else json.dumps(body)).encode())


@pytest.mark.parametrize("shape", SHAPES)
def test_that_a_text_is_too_long_is_read_in_every_shape_and_not_asked_again(
    stub: ChatStub, use: Use, shape: str
) -> None:
    said = "This model's maximum context length is 4096 tokens."
    stub.play = lambda body, times: refusal(shape, said)
    reply = use(ask)
    assert (reply.failure.kind, reply.requests) == (FailureKind.TOO_LONG, 1)
    assert "4096" in reply.failure.message


@pytest.mark.parametrize("shape", SHAPES)
def test_a_refused_temperature_is_read_in_every_shape(stub: ChatStub, use: Use, shape: str) -> None:
    no = refusal(shape, "temperature does not support 0.0 with this model")
    stub.play = lambda body, times: no if "temperature" in body else grade(2)

    async def work(client: ChatClient) -> list[Reply[Any]]:
        return [await ask(client, text) for text in ("a", "b")]

    replies = use(work)
    assert [reply.value.grade for reply in replies] == [2, 2]
    assert ["temperature" in body for body in stub.bodies] == [True, False, False]


def test_openai_s_own_code_is_read_where_its_message_does_not_say_it(stub: ChatStub, use: Use) -> None:
    stub.play = lambda body, times: Status(400, "Please reduce it.", kind="context_length_exceeded")
    reply = use(ask)
    assert (reply.failure.kind, reply.requests) == (FailureKind.TOO_LONG, 1)


@pytest.mark.parametrize("first", [True, False])
def test_a_pair_whose_refusal_names_a_part_of_the_request_takes_it_from_no_other_pair(
    stub: ChatStub, use: Use, first: bool
) -> None:
    texts = ["room temperature superconductor", "sunflower seed", "a pan", "a lid"]

    def play(body: dict[str, Any], _: int) -> Move:
        said = body["messages"][-1]["content"]
        return Status(400, f"refused by policy: {said}") if "r" in said else grade(2)

    stub.play = play
    order = texts if first else texts[2:] + texts[:2]

    async def work(client: ChatClient) -> list[Reply[Any]]:
        return [await ask(client, text) for text in order]

    replies = dict(zip(order, use(work), strict=True))
    assert [replies[text].failure.kind for text in texts[:2]] == [FailureKind.REFUSED] * 2
    assert [replies[text].value.grade for text in texts[2:]] == [2, 2]
    answered = [body for body in stub.bodies if "pan" in str(body) or "lid" in str(body)]
    assert all("temperature" in body and "seed" in body for body in answered)
    if not first:  # both parts were accepted before: it is not asked without them
        assert all(
            "temperature" in body and "seed" in body
            for body in stub.bodies
            if body["messages"][-1]["content"] in texts
        )


@pytest.mark.parametrize(
    ("body", "kind", "taken"),
    [
        ({"error": {"code": 402, "message": "no credits"}}, FailureKind.REFUSED, (1, 0)),
        ({"error": {"code": "429", "message": "slow down"}}, FailureKind.RATE_LIMITED, (2, 0)),
        ({"error": {"code": "insufficient_quota", "message": "no"}}, FailureKind.REFUSED, (1, 0)),
        ({"error": {"code": 502, "message": "upstream"}, "choices": [{}]}, FailureKind.SERVER, (2, 0)),
        ({"error": "upstream is away"}, FailureKind.SERVER, (2, 0)),
        ("<html>Please sign in</html>", FailureKind.SERVER, (2, 0)),
        (
            {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 0}},
            FailureKind.SERVER,
            (2, 14e-6),
        ),
    ],
)
def test_an_error_under_status_200_is_the_server_s_and_costs_what_it_says(
    stub: ChatStub, use: Use, body: Any, kind: FailureKind, taken: tuple[int, float]
) -> None:
    stub.play = lambda *_: Raw((body if isinstance(body, str) else json.dumps(body)).encode())
    reply = use(ask, retries=1, price=Price(input=1.0, output=1.0))
    assert reply.failure.kind == kind
    assert (reply.requests, reply.cost) == pytest.approx(taken)


def test_a_body_that_broke_off_may_have_cost_all_that_it_can(stub: ChatStub, use: Use) -> None:
    stub.play = lambda *_: Raw(b'{"choices": [{"message": {"content": "{')
    reply = use(ask, retries=0, price=Price(input=1.0, output=1.0))
    assert reply.failure.kind is FailureKind.UNPARSABLE
    assert reply.cost > 100e-6


@pytest.mark.parametrize(
    "header",
    [
        "nan",
        "soon",
        "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
        "Wed, 21 Oct 2026 07:28:00 +" + "9" * 20,
    ],
)
def test_a_header_that_names_no_time_asks_for_none(header: str) -> None:
    assert retry_after(header) is None


def test_a_header_of_no_seconds_leaves_callers_coming_back_more_and_more_seldom() -> None:
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    waits = [back_off(attempt, 0.0, random.Random(1)) for attempt in range(5)]
    assert waits == [back_off(attempt, None, random.Random(1)) for attempt in range(5)]
    assert waits == sorted(waits)
    assert back_off(0, 60.0, random.Random(1)) >= 60


def test_a_text_in_parts_of_parts_of_parts_is_a_broken_body() -> None:
    body = '{"choices": [{"message": {"content": ' + "[" * 900 + "]" * 900 + "}}]}"
    problem = read_completion(body.encode())
    assert isinstance(problem, Problem)
    assert problem.failure.kind is FailureKind.UNPARSABLE


def test_a_key_that_a_broken_body_echoes_is_masked_before_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    problem = read_completion((" " * 385 + "sk-secret-0123456789").encode())
    assert isinstance(problem, Problem)
    assert "sk-" not in problem.failure.message
