"""One agent at work: a policy decides, tools act, until the work is done.

    decide -> tools -+
      ^              |
      +--------------+

The policy is a chat model or a fixed set of rules; both speak in messages with tool calls and take the same
path. What a chat model can do wrong (an unknown tool, arguments that do not fit, a request that a tool refuses,
an answer without a call) comes back to it as a message once; done twice in a row, or when the model fails, or
runs out of turns, the agent starts over under its rules, and its span says so.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypedDict

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import BaseTool, ToolException
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from pydantic import ValidationError

from serm.core.errors import AgentError
from serm.storage.trace import SpanKind, span

BAD_IN_A_ROW = 2  # bad calls after which a policy has lost the thread; chosen


class Decide(Protocol):
    """A policy: what to do next, given all messages so far and the tools at hand."""

    @property
    def label(self) -> str:
        """What the trace calls it: `rules`, or the model's name."""

    def __call__(self, messages: Sequence[BaseMessage], tools: Sequence[BaseTool]) -> AIMessage: ...


@dataclass(frozen=True, slots=True)
class AgentOutcome:
    """What became of one agent. `messages` are those of the attempt that counted."""

    messages: tuple[BaseMessage, ...]
    turns: int
    calls: tuple[str, ...]  # names of the tools that were called well, in order
    policy: str  # label of the policy that finished
    fell_back: bool
    reason: str  # why it fell back; "" where it did not


class _Turns(TypedDict):
    messages: Annotated[list[BaseMessage], operator.add]
    calls: Annotated[list[str], operator.add]
    turns: int
    bad: int  # bad calls in a row
    stopped: str  # why this attempt failed; "" while it goes on


def run_agent(
    name: str,
    decide: Decide | None,
    rules: Decide,
    tools: Sequence[BaseTool],
    system: str,
    task: str,
    *,
    max_steps: int,
    finished: Callable[[], bool],
    reset: Callable[[], None] = lambda: None,
) -> AgentOutcome:
    """Run an agent under `decide` (None: under its rules), and under its rules where that fails.

    `finished` says whether the work is done; it is asked after every turn of tools. `reset` undoes what the
    tools have kept, before the rules start from scratch. Raises AgentError where the rules fail as well.
    """
    with span(name, SpanKind.AGENT, task=task) as current:
        reason = ""
        for policy in (decide, rules):
            if policy is None:
                continue
            if reason:
                reset()
            state = _attempt(policy, tools, system, task, max_steps, finished)
            if not state["stopped"]:
                break
            if policy is rules:
                raise AgentError(f"agent {name}: its rules did not come to an end: {state['stopped']}.")
            reason = state["stopped"]
        current.attributes |= {
            "policy": policy.label,
            "fell_back": bool(reason),
            "reason": reason,
            "turns": state["turns"],
        }
        current.outputs = {"calls": state["calls"]}
    return AgentOutcome(
        messages=tuple(state["messages"]),
        turns=state["turns"],
        calls=tuple(state["calls"]),
        policy=policy.label,
        fell_back=bool(reason),
        reason=reason,
    )


def _attempt(
    policy: Decide,
    tools: Sequence[BaseTool],
    system: str,
    task: str,
    max_steps: int,
    finished: Callable[[], bool],
) -> _Turns:
    graph = agent_graph(policy, tools, max_steps, finished)
    start: _Turns = {
        "messages": [SystemMessage(system), HumanMessage(task)],
        "calls": [],
        "turns": 0,
        "bad": 0,
        "stopped": "",
    }
    return graph.invoke(start, {"recursion_limit": 2 * max_steps + 4})  # type: ignore[return-value]


def agent_graph(
    policy: Decide, tools: Sequence[BaseTool], max_steps: int, finished: Callable[[], bool]
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The two nodes of an agent. Nothing of it is checkpointed: an agent that was cut off starts over."""
    by_name = {tool.name: tool for tool in tools}

    def decide(state: _Turns) -> dict[str, Any]:
        turn = state["turns"] + 1
        with span(policy.label, SpanKind.MODEL, turn=turn, messages=len(state["messages"])) as current:
            try:
                message = policy(state["messages"], tools)
            except Exception as error:  # whatever a chat model dies of, the round goes on under the rules
                current.error = f"{type(error).__name__}: {error}"
                return {"turns": turn, "stopped": f"the model failed ({current.error})"}
            current.outputs = {"text": message.text, "tool_calls": _shown(message)}
            current.attributes |= _usage(message)
        return {"messages": [message], "turns": turn}

    def act(state: _Turns) -> dict[str, Any]:
        answers: list[BaseMessage] = []
        good: list[str] = []
        bad = state["bad"]
        for call in _calls(state["messages"][-1]):
            answer = _call(by_name, call)
            answers.append(answer)
            bad = bad + 1 if answer.status == "error" else 0
            good += [] if bad else [str(call["name"])]
            if bad >= BAD_IN_A_ROW or finished():
                break
        if not answers:
            bad += 1
            answers.append(HumanMessage(f"Call a tool. You have {', '.join(by_name)}."))
        stopped = ""
        if not finished():
            last = str(answers[-1].content)
            if bad >= BAD_IN_A_ROW:
                stopped = f"{bad} bad calls in a row; the last: {last}"
            elif state["turns"] >= max_steps:
                stopped = f"not done after {max_steps} turns"
        return {"messages": answers, "calls": good, "bad": bad, "stopped": stopped}

    graph = StateGraph(_Turns)
    graph.add_node("decide", decide)
    graph.add_node("tools", act)
    graph.add_edge(START, "decide")
    graph.add_conditional_edges("decide", lambda state: END if state["stopped"] else "tools", ["tools", END])
    graph.add_conditional_edges(
        "tools", lambda state: END if state["stopped"] or finished() else "decide", ["decide", END]
    )
    return graph.compile(checkpointer=False, name="agent")


def _calls(message: BaseMessage) -> list[dict[str, Any]]:
    """Tool calls of a message in one form; those whose arguments are not even JSON have `args` None."""
    if not isinstance(message, AIMessage):
        return []
    broken = [{**call, "args": None} for call in message.invalid_tool_calls]
    return [dict(call) for call in message.tool_calls] + broken


def _call(tools: dict[str, BaseTool], call: dict[str, Any]) -> ToolMessage:
    """Run one call; what is wrong with it becomes an error message that the model can read."""
    name, identity = str(call["name"]), str(call["id"] or "")
    with span(name, SpanKind.TOOL, **_arguments(call["args"])) as current:
        try:
            if name not in tools:
                raise ToolException(f"there is no tool {name}. You have {', '.join(tools)}.")
            if call["args"] is None:
                raise ToolException("the arguments are not a JSON object.")
            text = str(tools[name].invoke(call["args"]))
        except ToolException as error:
            current.error = str(error)
        except ValidationError as error:
            current.error = "; ".join(
                f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}"
                for item in error.errors()[:5]
            )
        else:
            current.outputs = text
            return ToolMessage(text, tool_call_id=identity, name=name)
    return ToolMessage(f"Error: {current.error}", tool_call_id=identity, name=name, status="error")


def _arguments(given: object) -> dict[str, Any]:
    return {str(key): value for key, value in given.items()} if isinstance(given, dict) else {}


def _shown(message: AIMessage) -> list[dict[str, Any]]:
    return [{"name": call["name"], "args": call["args"]} for call in _calls(message)]


def _usage(message: AIMessage) -> dict[str, int]:
    usage = message.usage_metadata
    return {"tokens_in": usage["input_tokens"], "tokens_out": usage["output_tokens"]} if usage else {}
