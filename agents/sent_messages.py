"""A conversation of an agent as its provider is sent it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage

from serm.agents.conversation import fit_name


def sendable(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Copies in which no call has a name or arguments that a server may not be able to read: some would
    refuse the whole conversation, and the model never learn what was wrong. A message without any stays the
    same one; the trace and the tools go by what the model said."""
    return [_sendable(message) for message in messages]


def _sendable(message: BaseMessage) -> BaseMessage:
    if isinstance(message, ToolMessage) and message.name is not None:
        name = fit_name(message.name)
        return message if name == message.name else message.model_copy(update={"name": name})
    if not isinstance(message, AIMessage):
        return message
    fit = all(call["name"] == fit_name(call["name"]) for call in message.tool_calls)
    if fit and not message.invalid_tool_calls:
        return message
    calls = [ToolCall({**call, "name": fit_name(call["name"])}) for call in message.tool_calls]
    calls += [
        ToolCall(name=fit_name(call["name"] or ""), args={}, id=call["id"], type="tool_call")
        for call in message.invalid_tool_calls
    ]
    return message.model_copy(update={"tool_calls": calls, "invalid_tool_calls": []})
