"""The client itself: log-probabilities, turns with tools, servers that know less than they are asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from chat_stub import Call, ChatStub, Drop, Move, Raw, Say, Status, completion, grade

from serm.core import Failure, FailureKind
from serm.core.errors import BudgetExceededError
from serm.core.settings_loop import LlmSettings, Price
from serm.llm.asking import Reply, Token, ToolCall, Turn
from serm.llm.budget import Budget
from serm.llm.completions import read_completion
from serm.llm.openai_compatible import ChatClient
from serm.llm.parse import grade_schema, parse_grade
from serm.llm.spec import parse_backend

SCHEMA = grade_schema(["grade"], [0, 1, 2, 3])
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
Use = Callable[..., Any]


@pytest.fixture
def use(stub: ChatStub) -> Use:
    """Run this over a client of the stub, which is patient for a second and retries once."""

    def run(
        work: Callable[[ChatClient], Awaitable[Any]],
        *,
        price: Price | None = None,
        budget: Budget | None = None,
        **llm: Any,
    ) -> Any:
        async def main() -> Any:
            settings = LlmSettings(**{"timeout": 2.0, "retries": 1, "max_tokens": 16, **llm})
            client = ChatClient(parse_backend(f"{stub.url}#stub"), settings, price=price, budget=budget)
            try:
                return await work(client)
            finally:
                await client.close()

        return asyncio.run(main())

    return run


def say(*texts: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text} for text in texts]


async def ask(client: ChatClient, text: str = "a", *, logprobs: bool = False) -> Reply[Any]:
    return await client.ask(say(text), parse_grade, schema=SCHEMA, path=0, logprobs=logprobs)


def with_message(move: Say, **parts: Any) -> Raw:
    """A completion whose first choice or message has further parts."""
    body = completion(move)
    body["choices"][0].update({name: value for name, value in parts.items() if name == "logprobs"})
    body["choices"][0]["message"].update({k: v for k, v in parts.items() if k != "logprobs"})
    return Raw(json.dumps(body).encode())


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


# -- turns


def test_a_turn_brings_the_tools_and_the_calls_come_back_as_the_model_wrote_them(
    stub: ChatStub, use: Use
) -> None:
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"for": "shoes"'}},
        {"id": "c2", "type": "function", "function": {"name": "look", "arguments": {"for": "boots"}}},
        {"id": None, "type": "function", "function": {"name": "look"}},
    ]
    stub.play = lambda body, _: with_message(Say("hm"), content=None, tool_calls=calls)
    reply = use(lambda client: client.turn(say("a"), [TOOL], path=1))
    assert reply.value == Turn(
        "",
        (
            ToolCall("c1", "look", '{"for": "shoes"'),
            ToolCall("c2", "look", '{"for": "boots"}'),
            ToolCall("", "look", ""),
        ),
    )
    (body,) = stub.bodies
    assert (body["tools"], body["tool_choice"], body["temperature"]) == ([TOOL], "required", 0.7)
    assert "response_format" not in body
    assert (reply.tokens_in, reply.tokens_out, reply.requests) == (100, 10, 1)


def test_a_turn_without_tools_asks_for_a_text(stub: ChatStub, use: Use) -> None:
    stub.play = lambda body, _: Say("Good.")
    reply = use(lambda client: client.turn(say("a"), [], path=0))
    assert reply.value == Turn("Good.")
    assert not {"tools", "tool_choice"} & set(stub.bodies[0])


def tool_choices(stub: ChatStub) -> list[str | None]:
    return [body.get("tool_choice") for body in stub.bodies]


def test_a_server_that_makes_no_model_call_a_tool_is_asked_to_let_it(stub: ChatStub, use: Use) -> None:
    def play(body: dict[str, Any], _: int) -> Move:
        wrong = body["tool_choice"] != "auto"
        return Status(400, 'only "auto" is supported for tool_choice') if wrong else Call((("look", "{}"),))

    async def work(client: ChatClient) -> list[Reply[Turn]]:
        return [await client.turn(say(text), [TOOL], path=0) for text in ("a", "b")]

    stub.play = play
    first, second = use(work)
    assert first.value == second.value == Turn("", (ToolCall("call-1", "look", "{}"),))
    assert (first.requests, second.requests) == (2, 1), "it is remembered"


def test_a_model_that_writes_a_text_instead_of_a_call_is_held_to_one_by_a_schema(
    stub: ChatStub, use: Use
) -> None:
    def play(body: dict[str, Any], _: int) -> Move:
        return Say("Good.") if "tools" in body else Say('{"name": "look", "arguments": {"for": "é"}}')

    async def work(client: ChatClient) -> list[Reply[Turn]]:
        first = await client.turn(say("a"), [TOOL], path=0)
        call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"for": "x"}'}}
        asked = {"role": "assistant", "content": "", "tool_calls": [call]}
        told = {"role": "tool", "tool_call_id": "1", "content": "nothing"}
        further = [*say("a"), asked, told, {"role": "user", "content": "Go on."}]
        return [first, await client.turn(further, [TOOL], path=0)]

    stub.play = play
    first, second = use(work, retries=0)
    assert first.value == second.value == Turn("", (ToolCall("", "look", '{"for": "é"}'),))
    assert (first.requests, first.tokens_in, second.requests) == (2, 200, 1), "it is remembered"
    assert tool_choices(stub) == ["required", None, None]
    form = stub.bodies[1]["response_format"]["json_schema"]["schema"]
    assert [call["properties"]["name"] for call in form["anyOf"]] == [{"const": "look"}]
    system, *rest = stub.bodies[2]["messages"]
    assert '{"name": "look", "parameters": {"type": "object"}}' in system["content"]
    assert rest == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": '{"name": "look", "arguments": {"for": "x"}}'},
        {"role": "user", "content": "The tool's answer: nothing\n\nGo on."},
    ]


def test_a_call_that_a_server_left_in_the_text_is_a_call(stub: ChatStub, use: Use) -> None:
    stub.play = lambda body, _: Say('{"name": "look", "arguments": {}}')
    reply = use(lambda client: client.turn(say("a"), [TOOL], path=0))
    assert reply.value == Turn("", (ToolCall("", "look", "{}"),))
    plain = use(lambda client: client.turn(say("a"), [], path=0))
    assert plain.value == Turn('{"name": "look", "arguments": {}}'), "without tools a text is a text"


def test_a_server_that_knows_no_schema_either_is_asked_for_a_call_again(stub: ChatStub, use: Use) -> None:
    def play(body: dict[str, Any], _: int) -> Move:
        return Say("Good.") if "tools" in body else Status(400, "response_format is not supported")

    async def work(client: ChatClient) -> list[Reply[Turn]]:
        return [await client.turn(say(text), [TOOL], path=0) for text in ("a", "b", "c")]

    stub.play = play
    assert [reply.value for reply in use(work)] == [Turn("Good.")] * 3
    assert tool_choices(stub) == ["required", None, "required", "required", "required"]


@pytest.mark.parametrize(
    ("move", "kind", "requests"),
    [
        (Status(500), FailureKind.SERVER, 2),
        (Status(429), FailureKind.RATE_LIMITED, 2),
        (
            Status(400, "tools are not supported"),
            FailureKind.REFUSED,
            2,
        ),  # once more, unforced
        (Drop(), FailureKind.SERVER, 2),
        (Raw(b'{"choices": []}'), FailureKind.UNPARSABLE, 2),
    ],
)
def test_a_turn_fails_as_an_answer_does(
    stub: ChatStub, use: Use, move: Move, kind: FailureKind, requests: int
) -> None:
    stub.play = lambda body, _: move
    reply = use(lambda client: client.turn(say("a"), [TOOL], path=0))
    assert (reply.value, reply.failure.kind, reply.requests) == (None, kind, requests)


def test_a_turn_is_within_budget_and_paid_for(stub: ChatStub, use: Use) -> None:
    stub.play = lambda body, _: Call((("look", "{}"),))
    price, budget = Price(input=1_000, output=1_000), Budget(1.0)

    async def work(client: ChatClient) -> Reply[Turn]:
        reply = await client.turn(say("a"), [TOOL], path=0)
        with pytest.raises(BudgetExceededError):
            await client.turn(say("b" * 1_000), [TOOL], path=0)
        return reply

    reply = use(work, price=price, budget=budget)
    assert (reply.cost, budget.paid) == (pytest.approx(0.11), pytest.approx(0.11))
    assert len(stub.bodies) == 1


# -- money that may be gone


@pytest.mark.parametrize(
    ("move", "charged"),
    [
        (Status(500), False),
        (Status(429), False),
        (Drop(), True),
        (Say("late", after=0.6), True),
        (Raw(b"{"), True),
    ],
)
def test_a_request_that_may_have_been_answered_costs_the_most_that_it_can(
    stub: ChatStub, use: Use, move: Move, charged: bool
) -> None:
    stub.play = lambda body, _: move
    budget = Budget(None)
    reply = use(ask, price=Price(input=0, output=1_000), budget=budget, timeout=0.3, retries=0)
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
        b"\xff\xfe",
        b"[" * 99999,
    ],
)
def test_a_body_that_is_no_completion_is_a_failure(body: bytes) -> None:
    got = read_completion(body)
    assert isinstance(got, Failure)
    assert got.kind is FailureKind.UNPARSABLE
