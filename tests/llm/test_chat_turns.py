"""An agent's turns over the client: tools, the calls that come back, servers that know less of them."""

from __future__ import annotations

from typing import Any

import pytest
from chat_clients import TOOL, Use, say, with_message
from chat_stub import Call, ChatStub, Drop, Move, Raw, Say, Status

from serm.core import FailureKind
from serm.core.errors import BudgetExceededError
from serm.core.settings_loop import Price
from serm.llm.asking import Reply, ToolCall, Turn
from serm.llm.budget import Budget
from serm.llm.openai_compatible import ChatClient


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
        (Raw(b'{"choices": []}'), FailureKind.SERVER, 2),
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
