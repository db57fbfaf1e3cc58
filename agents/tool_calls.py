"""Running the tool calls of a message; what is wrong with one becomes a message that the model can read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool, ToolException
from langgraph.errors import GraphBubbleUp
from pydantic import ValidationError

from serm.agents.conversation import own_id
from serm.agents.cut_off import cut_off
from serm.core.discretion import discreet
from serm.core.errors import SermError
from serm.core.text import keepable
from serm.llm.brake import StopRequestedError
from serm.storage.trace import SpanKind, span

_PASS: Final = (SermError, StopRequestedError, GraphBubbleUp)
"""What is not a tool's own: the disk, the budget, and what LangGraph and a person stop a run by."""
_LONGEST: Final = 300
"""Characters of a bug's text that a model is told (chosen)."""
_log = logging.getLogger(__name__)


def calls_of(message: BaseMessage) -> list[dict[str, Any]]:
    """The tool calls of a message; those whose arguments are not even JSON come last, and `args` is the text
    that the model wrote."""
    if not isinstance(message, AIMessage):
        return []
    broken = [{**call, "args": call["args"] or ""} for call in message.invalid_tool_calls]
    return [dict(call) for call in message.tool_calls] + broken


def written(given: object) -> dict[str, Any]:
    """Arguments of a call as the trace has them: what is no JSON object is there as its text."""
    return dict(given) if isinstance(given, dict) else {"arguments": given}


def no_call(message: BaseMessage, tools: Iterable[str]) -> HumanMessage:
    """What a model is told that called none of its tools."""
    cut = cut_off(message)
    why = f": your answer was {cut}" if cut else ""
    return HumanMessage(f"You called no tool{why}. Call one of {', '.join(tools)}.")


def identified(message: AIMessage, before: Sequence[BaseMessage]) -> AIMessage:
    """The message with an id for each call that has none, or one that was there before: an answer finds its
    call by it."""
    earlier = [call for item in before if isinstance(item, AIMessage) for call in _all_calls(item)]
    seen = {call["id"] for call in earlier}
    named: dict[str, list[Any]] = {"tool_calls": [], "invalid_tool_calls": []}
    number = len(earlier)
    for part, calls in named.items():
        for call in getattr(message, part):
            number += 1
            calls.append({**call, "id": own_id(call["id"], seen, number)})
    same = all(named[part] == getattr(message, part) for part in named)
    return message if same else message.model_copy(update=named)


def _all_calls(message: AIMessage) -> list[Any]:
    return [*message.tool_calls, *message.invalid_tool_calls]


def run_call(
    tools: Mapping[str, BaseTool], call: Mapping[str, Any], *, bugs: bool = True, cut: str = ""
) -> ToolMessage:
    """Run one call in a span of its own. `status` is "error" where `call_tool` says what was wrong; `cut`
    says that the call may not be whole (`cut_off`), and is told with it."""
    name, identity, given = str(call["name"]), str(call["id"] or ""), call["args"]
    with span(name, SpanKind.TOOL) as current:
        current.inputs = written(given)
        text, error = call_tool(tools, name, given, bugs=bugs)
        if not error:
            current.outputs = text
            return ToolMessage(text, tool_call_id=identity, name=name)
        current.error = f"{error.rstrip('.')}: the answer was {cut}." if cut else error
    return ToolMessage(f"Error: {current.error}", tool_call_id=identity, name=name, status="error")


def call_tool(
    tools: Mapping[str, BaseTool], name: str, given: object, *, bugs: bool = True
) -> tuple[str, str]:
    """What a tool answered, and "", or "" and what was wrong: an unknown tool, arguments that do not fit its
    schema, and what the tool refuses with a ToolException.

    A bug of a tool is logged, and told like these: a turn of a model is kept and would be played again, so
    that a bug that passed on would end every further run at the same place. With `bugs` False it passes on,
    as do errors of our own (`SermError`) and what stops a run.
    """
    try:
        if not isinstance(given, dict):  # first: of some of these calls the name is not known (`odd_calls`)
            raise ToolException("the arguments are not a JSON object.")
        if name not in tools:
            raise ToolException(f"there is no tool {name}. You have {', '.join(tools)}.")
        # A whole tool call: alone, arguments that look like one would be taken for it and unwrapped.
        answered = tools[name].invoke(ToolCall(name=name, args=given, id="", type="tool_call"))
        return str(answered.content), ""
    except ToolException as error:
        return "", str(error)
    except ValidationError as error:
        faults = error.errors()[:5]
        return "", "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}" for fault in faults
        )
    except _PASS:
        raise
    except Exception as error:
        if not bugs:
            raise
        _log.exception("the tool %s failed, which is a bug of serm; its caller goes on without it", name)
        said = discreet(keepable(f"{type(error).__name__}: {error}"))
        return "", f"the tool {name} failed by itself: {said[:_LONGEST]}"
