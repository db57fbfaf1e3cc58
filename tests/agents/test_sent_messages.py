"""What of a conversation is sent back to a model's server."""

from __future__ import annotations

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from serm.agents.sent_messages import sendable
from serm.agents.tool_calls import calls_of


def test_a_call_that_a_server_could_not_read_is_sent_without_what_was_wrong_with_it() -> None:
    named = {"name": "describe window", "args": {"a": 1}, "id": "1", "type": "tool_call"}
    broken = {"name": None, "args": "{", "id": "2", "error": None, "type": "invalid_tool_call"}
    said = AIMessage("so", tool_calls=[named], invalid_tool_calls=[broken])
    talk = [HumanMessage("go"), said, ToolMessage("no", tool_call_id="1", name="describe window")]
    _, sent, answer = sendable(talk)
    assert isinstance(sent, AIMessage)
    assert [(call["name"], call["args"], call["id"]) for call in sent.tool_calls] == [
        ("describe_window", {"a": 1}, "1"),
        ("unknown", {}, "2"),
    ]
    assert (sent.content, sent.invalid_tool_calls, answer.name) == ("so", [], "describe_window")
    assert [call["name"] for call in calls_of(said)] == ["describe window", None], "it stays as it was said"


def test_messages_that_any_server_reads_stay_the_same_ones() -> None:
    call = {"name": "mine", "args": {}, "id": "1", "type": "tool_call"}
    talk = [HumanMessage("go"), AIMessage("", tool_calls=[call]), ToolMessage("{}", tool_call_id="1")]
    assert all(one is other for one, other in zip(sendable(talk), talk, strict=True))
