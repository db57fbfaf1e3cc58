"""Calls of tools as models write them."""

from __future__ import annotations

from langchain_core.messages import AIMessage, HumanMessage

from serm.agents.tool_calls import calls_of, identified


def call(identity: str | None) -> dict[str, object]:
    return {"name": "mine", "args": {}, "id": identity, "type": "tool_call"}


def test_a_call_without_an_id_or_with_one_that_was_there_before_gets_one_of_its_own() -> None:
    before = [HumanMessage("go"), AIMessage("", tool_calls=[call("a"), call("b")])]
    broken = {"name": "x", "args": "{", "id": None, "error": None, "type": "invalid_tool_call"}
    message = AIMessage(
        "text", tool_calls=[call(None), call("a"), call("c"), call("c")], invalid_tool_calls=[broken]
    )
    named = identified(message, before)
    assert [item["id"] for item in calls_of(named)] == ["call-3", "call-4", "c", "call-6", "call-7"]
    assert named.content == "text"
    assert [item["id"] for item in message.tool_calls] == [None, "a", "c", "c"], "the message stays as it was"


def test_an_id_that_a_model_numbers_as_we_do_is_not_given_twice() -> None:
    before = [AIMessage("", tool_calls=[call("call-2")])]
    named = identified(AIMessage("", tool_calls=[call(None), call("call-3")]), before)
    assert [item["id"] for item in named.tool_calls] == ["call-3", "call-4"]


def test_a_message_whose_calls_have_ids_stays_the_same_one() -> None:
    message = AIMessage("", tool_calls=[call("a"), call("b")])
    assert identified(message, [HumanMessage("go")]) is message
