"""The client itself: log-probabilities, servers that know less than they are asked for, money, bodies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from chat_clients import SCHEMA, TOOL, Use, ask, say, with_message
from chat_stub import Bytes, Call, ChatStub, Drop, Hang, Move, Raw, Say, Status, grade

from serm.core import FailureKind
from serm.core.settings_loop import Price
from serm.core.text import is_utf8
from serm.llm.asking import Reply, Token, ToolCall
from serm.llm.budget import Budget
from serm.llm.completions import Completion, read_completion
from serm.llm.openai_compatible import ChatClient
from serm.llm.retry import Problem

# -- log-probabilities


def test_log_probabilities_are_asked_for_and_come_back_likeliest_first(stub: ChatStub, use: Use) -> None:
    content = [
        {"token": "{", "logprob": 0.0, "top_logprobs": [{"token": "{", "logprob": 0.0}]},
        {
            "token": "2",
            "logprob": -1.5,
            "top_logprobs": [{"token": "1", "logprob": -2.0}, {"token": "3", "logprob": -0.5}],
        },
    ]
    stub.play = lambda body, times: with_message(grade(2), logprobs={"content": content})
    reply = use(lambda client: ask(client, logprobs=True))
    assert reply.tokens == (
        Token("{", (("{", 0.0),)),
        Token("2", (("3", -0.5), ("2", -1.5), ("1", -2.0))),
    )
    assert (stub.bodies[0]["logprobs"], stub.bodies[0]["top_logprobs"]) == (True, 20)


def test_they_are_not_asked_for_where_nobody_wants_them_and_need_not_come(stub: ChatStub, use: Use) -> None:
    async def both(client: ChatClient) -> list[Reply[Any]]:
        return [await ask(client), await ask(client, "b", logprobs=True)]

    replies = use(both)
    assert "logprobs" not in stub.bodies[0]
    assert [(reply.value.grade, reply.tokens) for reply in replies] == [(2, ()), (2, ())]


# -- a server that knows less


def refuses(*unknown: str, named: bool = True) -> Callable[[dict[str, Any], int], Move]:
    """A server that knows neither of these: logprobs, json_schema, json_object."""

    def play(body: dict[str, Any], _: int) -> Move:
        form = body.get("response_format", {}).get("type")
        for name, there in (("logprobs", "logprobs" in body), ("json_schema", form), ("json_object", form)):
            if name in unknown and (there is True or there == name):
                what = "logprobs" if name == "logprobs" else f"response_format {name}"
                return Status(400, f"{what} is not supported" if named else "bad request")
        return grade(1)

    return play


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("unknown", "left"),
    [
        (("logprobs",), ["json_schema"]),
        (("json_schema",), ["json_object"]),
        (("logprobs", "json_schema"), ["json_object"]),
        (("logprobs", "json_schema", "json_object"), [None]),
    ],
)
def test_a_server_that_knows_less_is_asked_for_less_from_then_on(
    stub: ChatStub, use: Use, unknown: tuple[str, ...], left: list[str | None], named: bool
) -> None:
    stub.play = refuses(*unknown, named=named)

    async def work(client: ChatClient) -> list[Reply[Any]]:
        return [await ask(client, text, logprobs=True) for text in ("a", "b", "c")]

    replies = use(work)
    assert [reply.value.grade for reply in replies] == [1, 1, 1]
    assert replies[0].requests > 1
    assert [reply.requests for reply in replies[1:]] == [1, 1], "what was refused is remembered"
    assert [body.get("response_format", {}).get("type") for body in stub.bodies[-2:]] == left * 2
    if "logprobs" in unknown:
        assert "logprobs" not in stub.bodies[-1]


def test_a_refusal_that_names_the_schema_leaves_the_log_probabilities(stub: ChatStub, use: Use) -> None:
    stub.play = refuses("json_schema")
    use(lambda client: ask(client, logprobs=True))
    assert [("logprobs" in body, body["response_format"]["type"]) for body in stub.bodies] == [
        (True, "json_schema"),
        (True, "json_object"),
    ]


def test_a_pair_that_is_refused_for_itself_is_not_asked_again_once_the_server_has_answered(
    stub: ChatStub, use: Use
) -> None:
    stub.play = lambda body, _: Status(400) if body["messages"][-1]["content"] == "long" else grade(3)

    async def work(client: ChatClient) -> list[Reply[Any]]:
        return [await ask(client, text, logprobs=True) for text in ("a", "long", "b")]

    good, bad, after = use(work)
    assert (bad.failure.kind, bad.requests) == (FailureKind.REFUSED, 1)
    assert (good.value.grade, after.value.grade) == (3, 3)
    assert stub.bodies[-1]["response_format"]["type"] == "json_schema"


def test_a_first_pair_that_is_refused_for_itself_teaches_nothing(stub: ChatStub, use: Use) -> None:
    stub.play = lambda body, _: Status(400) if body["messages"][-1]["content"] == "long" else grade(3)

    async def work(client: ChatClient) -> list[Reply[Any]]:
        return [await ask(client, text, logprobs=True) for text in ("long", "a")]

    bad, good = use(work)
    assert (bad.failure.kind, good.value.grade, good.requests) == (FailureKind.REFUSED, 3, 1)
    assert stub.bodies[-1]["logprobs"] is True
    assert stub.bodies[-1]["response_format"]["type"] == "json_schema"


# -- money that may be gone


@pytest.mark.parametrize(
    ("move", "charged"),
    [
        (Status(500), False),
        (Status(429), False),
        (Drop(), True),
        (Bytes(b"no HTTP\r\n\r\n"), True),
        (Hang(), True),
        (Raw(b"{"), True),
    ],
)
def test_a_request_that_may_have_been_answered_costs_the_most_that_it_can(
    stub: ChatStub, use: Use, move: Move, charged: bool
) -> None:
    stub.play = lambda body, _: move
    budget, limit = Budget(None), 0.5 if isinstance(move, Hang) else 20.0
    reply = use(ask, price=Price(input=0, output=1_000), budget=budget, timeout=limit, retries=0)
    assert reply.failure is not None
    assert reply.cost == budget.paid == pytest.approx(16 * 1_000 / 1e6 if charged else 0)


# -- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"3",
        b'{"choices": [{}]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": 2}}]}',
        b'{"choices": [{"message": {"content": {"text": "a"}}}]}',
        b'{"choices": [{"message": {"content": [2]}}]}',
        b'{"choices": [{"message": {"content": "a"}}], "x": ' + b"9" * 5_000 + b"}",
        b"\xff\xfe",
        b"[" * 99999,
    ],
)
def test_a_body_that_is_no_completion_is_a_failure(body: bytes) -> None:
    got = read_completion(body)
    assert isinstance(got, Problem)
    no_choices = body in {b"null", b"[]", b"3"}  # whole JSON, of something else: the server's
    assert got.failure.kind is (FailureKind.SERVER if no_choices else FailureKind.UNPARSABLE)
    assert got.again
    assert got.charged, "something may have been generated"


def test_a_text_in_parts_is_their_text() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    parts = [thought, {"type": "text", "text": '{"grade"'}, {"type": "text", "text": ": 2}"}]
    got = read_completion(json.dumps({"choices": [{"message": {"content": parts}}]}).encode())
    assert isinstance(got, Completion)
    assert got.text == '{"grade": 2}'


@pytest.mark.parametrize(
    ("read", "written", "used"),
    [
        ("7", "1", (7, 1)),
        ("7", "null", None),
        ("Infinity", "1", None),
        ("NaN", "1", None),
        ("-7", "1", None),
        ("7", "-1", None),
        ("1e30", "1", None),
        ("[7]", "1", None),
        ("null", "1", None),
    ],
)
def test_what_is_no_count_of_tokens_is_not_said(
    read: str, written: str, used: tuple[int, int] | None
) -> None:
    usage = f'{{"prompt_tokens": {read}, "completion_tokens": {written}}}'
    body = f'{{"choices": [{{"message": {{"content": "a"}}}}], "usage": {usage}}}'
    assert read_completion(body.encode()) == Completion("a", used=used)


@pytest.mark.parametrize(
    "usage", ["{}", '{"prompt_tokens": 0, "completion_tokens": 0}', '{"prompt_tokens": 7}']
)
def test_a_gateway_that_counts_nothing_says_nothing(usage: str) -> None:
    body = f'{{"choices": [{{"message": {{"content": "a"}}}}], "usage": {usage}}}'
    assert read_completion(body.encode()) == Completion("a", used=None)
    written = body.replace(usage, '{"prompt_tokens": 7, "completion_tokens": 0}')
    assert read_completion(written.encode()) == Completion("a", used=None)


@pytest.mark.parametrize(
    ("read", "written", "paid"),
    [(300, 1, 301e-6), (9_000_000, 1, None), (300, 60_000, 60_300e-6), (300, 9_000_000, None)],
    ids=["counted", "read", "thoughts", "written"],
)
def test_a_count_that_no_request_can_have_had_is_none(
    stub: ChatStub, use: Use, read: int, written: int, paid: float | None
) -> None:
    """It would be paid for, and hold all further requests of the judge up for the rest of the day."""
    stub.play = lambda *_: Say('{"grade": 2, "reason": ""}', tokens_in=read, tokens_out=written)
    reply = use(ask, price=Price(input=1.0, output=1.0), max_tokens=16)
    assert reply.value is not None
    assert reply.cost == pytest.approx(paid) if paid else 0 < reply.cost < 2_000e-6


@pytest.mark.parametrize("place", [{"token": None, "logprob": 0}, {"token": "2", "logprob": 10**400}, 2])
def test_log_probabilities_that_cannot_be_read_are_none_and_the_answer_is_good(place: object) -> None:
    choice = {"message": {"content": "a"}, "logprobs": {"content": [place]}}
    assert read_completion(json.dumps({"choices": [choice]}).encode()) == Completion("a")


# -- answers that are not whole


@pytest.mark.parametrize(
    "case",
    [
        (Say("", finish="length"), "cut off at `llm.max_tokens` = 16 tokens", False, 1),
        (Say('{"grade": 2, "rea', finish="length"), "cut off at `llm.max_tokens` = 16 tokens", False, 1),
        (Say('{"grade": 2, "rea', finish="length"), "cut off at `llm.max_tokens` = 16 tokens", True, 4),
        (Say("", finish="length"), "cut off at `llm.max_tokens` = 16 tokens", True, 1),
        (Say("I", finish="content_filter"), "cut off by the provider's content filter", False, 1),
        (Say("prose"), "no JSON: 'prose'", False, 4),
    ],
)
def test_an_answer_that_was_cut_off_says_so_and_is_not_paid_for_again_where_it_would_be_the_same(
    stub: ChatStub, use: Use, case: tuple[Move, str, bool, int]
) -> None:
    move, says, warm, requests = case
    stub.play = lambda body, _: move
    reply = use(ask, retries=3, temperature=0.5 if warm else 0.0)
    assert reply.failure.kind is FailureKind.UNPARSABLE
    assert reply.failure.message.startswith(says)
    assert (reply.requests, len(stub.bodies)) == (requests, requests)


def test_an_answer_that_can_be_read_is_good_whatever_ended_it(stub: ChatStub, use: Use) -> None:
    stub.play = lambda body, _: Say('{"grade": 2}', finish="length")
    assert use(ask).value.grade == 2


@pytest.mark.parametrize("arguments", ["", '{"for": "bo'])
def test_a_call_that_was_cut_off_is_a_failure_that_says_so(stub: ChatStub, use: Use, arguments: str) -> None:
    stub.play = lambda body, _: (
        Call((("look", arguments),), finish="length") if arguments else Say("", finish="length")
    )
    reply = use(lambda client: client.turn(say("a"), [TOOL], path=0), retries=3)
    assert reply.failure.message == (
        "cut off at `llm.max_tokens` = 16 tokens, which may be raised: no whole call of a tool"
    )
    assert reply.requests == 1


def test_prose_that_was_cut_off_is_still_prose_in_place_of_a_call(stub: ChatStub, use: Use) -> None:
    def play(body: dict[str, Any], _: int) -> Move:
        return Say("Let me think about", finish="length") if "tools" in body else Say(written)

    written = '{"name": "look", "arguments": {}}'
    stub.play = play
    reply = use(lambda client: client.turn(say("a"), [TOOL], path=0), retries=0)
    assert reply.value.calls == (ToolCall("", "look", "{}"),)


def test_an_answer_whose_reading_raises_is_a_failure_that_is_paid_for(stub: ChatStub, use: Use) -> None:
    def read(text: str) -> Any:
        raise ZeroDivisionError(text)

    async def work(client: ChatClient) -> Reply[Any]:
        return await client.ask(say("a"), read, schema=SCHEMA, path=0)

    budget = Budget(None)
    reply = use(work, price=Price(input=1_000, output=0), budget=budget, retries=0)
    assert (reply.failure.kind, reply.tokens_in) == (FailureKind.UNPARSABLE, 100)
    assert "ZeroDivisionError" in reply.failure.message
    assert reply.cost == budget.paid == pytest.approx(0.1)


def test_all_texts_of_a_completion_can_be_kept(stub: ChatStub, use: Use) -> None:
    calls = [{"id": "\ud83d", "function": {"name": "look\0", "arguments": '{"for": "\ud83d"}'}}]
    stub.play = lambda body, _: with_message(Say(""), content="half \ud83d", tool_calls=calls)
    reply = use(lambda client: client.turn(say("a"), [TOOL], path=0))
    assert reply.value.calls == (ToolCall("\ufffd", "look\ufffd", '{"for": "\ufffd"}'),)
    stub.play = lambda body, _: Status(400, "not \ud83d\0")
    reply = use(lambda client: client.turn(say("b"), [], path=0))
    assert is_utf8(reply.failure.message)
    assert "\0" not in reply.failure.message
