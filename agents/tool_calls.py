"""Running the tool calls of a message; what is wrong with one becomes a message that the model can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool, ToolException
from pydantic import ValidationError

from serm.storage.trace import SpanKind, span


def calls_of(message: BaseMessage) -> list[dict[str, Any]]:
    """The tool calls of a message; those whose arguments are not even JSON have `args` None."""
    if not isinstance(message, AIMessage):
        return []
    broken = [{**call, "args": None} for call in message.invalid_tool_calls]
    return [dict(call) for call in message.tool_calls] + broken


def run_call(tools: Mapping[str, BaseTool], call: Mapping[str, Any]) -> ToolMessage:
    """Run one call in a span of its own. `status` is "error" where `call_tool` says what was wrong."""
    name, identity, given = str(call["name"]), str(call["id"] or ""), call["args"]
    with span(name, SpanKind.TOOL) as current:
        current.inputs = dict(given) if isinstance(given, dict) else {}
        text, current.error = call_tool(tools, name, given)
        if not current.error:
            current.outputs = text
            return ToolMessage(text, tool_call_id=identity, name=name)
    return ToolMessage(f"Error: {current.error}", tool_call_id=identity, name=name, status="error")


def call_tool(tools: Mapping[str, BaseTool], name: str, given: object) -> tuple[str, str]:
    """What a tool answered, and "", or "" and what was wrong: an unknown tool, arguments that do not fit its
    schema, and what the tool refuses with a ToolException; any other exception is a bug and passes on."""
    try:
        if name not in tools:
            raise ToolException(f"there is no tool {name}. You have {', '.join(tools)}.")
        if not isinstance(given, dict):
            raise ToolException("the arguments are not a JSON object.")
        return str(tools[name].invoke(given)), ""
    except ToolException as error:
        return "", str(error)
    except ValidationError as error:
        faults = error.errors()[:5]
        return "", "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}" for fault in faults
        )
