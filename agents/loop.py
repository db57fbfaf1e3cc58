"""One agent at work: a policy decides, tools act, until the work is done.

    decide -> tools -+
      ^              |
      +--------------+

The policy is a chat model or a fixed set of rules; both speak in messages with tool calls and take the same
path. What a chat model does wrong (an unknown tool, arguments that do not fit, a request that a tool refuses,
an answer without a call) comes back to it as a message, and so does a bug of a tool. Where it goes wrong
twice in a row, fails or runs out of turns, the agent starts over under its rules, and its span says so. Under
the rules a bug is an error: nothing is left to fall back to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from typing_extensions import TypedDict

from serm.agents.cut_off import cut_off
from serm.agents.tool_calls import calls_of, no_call, run_call, written
from serm.core.discretion import discreet
from serm.core.errors import AgentError, BudgetExceededError, StorageError
from serm.core.text import keepable
from serm.llm.brake import StopRequestedError
from serm.storage.trace import SpanKind, span

BAD_IN_A_ROW = 2  # bad calls after which a policy has lost the thread; chosen
RULES_STEPS = 50  # turns of a plan, at most: one that needs more has no end


class Decide(Protocol):
    """A policy: what to do next, given all messages so far and the tools at hand."""

    @property
    def label(self) -> str:
        """What the trace calls it: `rules`, or the model's name."""

    def __call__(self, messages: Sequence[BaseMessage], tools: Sequence[BaseTool], /) -> AIMessage: ...


@dataclass(frozen=True, slots=True)
class AgentOutcome:
    """What became of one agent. `messages`, `turns` and `calls` are those of the attempt that counted."""

    messages: tuple[BaseMessage, ...]
    turns: int
    calls: tuple[str, ...]  # names of the tools that were called well, in order
    policy: str  # label of the policy that finished
    fell_back: bool
    reason: str  # why it fell back; "" where it did not


def joined(before: list[Any], after: list[Any]) -> list[Any]:
    """Reducer of lists. Not `operator.add`: LangGraph asks for its signature, which for a builtin is parsed,
    and Python 3.11 may die of parsing in several threads at once (python/cpython, issue 106905)."""
    return before + after


class Turns(TypedDict):
    """State of the two nodes; it lives as long as the attempt."""

    messages: Annotated[list[BaseMessage], joined]
    calls: Annotated[list[str], joined]
    turns: int
    bad: int  # bad calls in a row
    stopped: str  # why this attempt failed; "" while it goes on


def run_agent(
    name: str,
    decide: Decide | None,
    rules: Decide,
    tools: Sequence[BaseTool],
    *,
    system: str,
    task: str,
    max_steps: int,
    finished: Callable[[], bool],
    reset: Callable[[], None] = lambda: None,
) -> AgentOutcome:
    """Run an agent under `decide` (None: under its rules), and under its rules where that fails.

    `max_steps` bounds the turns of `decide`. `finished` says whether the work is done; it is asked after each
    tool call. `reset` undoes what the tools have kept, before the rules start from scratch. Raises AgentError
    where the rules fail as well.
    """

    def attempt(policy: Decide) -> Turns:
        first: list[BaseMessage] = [SystemMessage(system), HumanMessage(task)]
        start = Turns(messages=first, calls=[], turns=0, bad=0, stopped="")
        steps = RULES_STEPS if policy is rules else max_steps
        graph = agent_graph(policy, tools, steps, finished, bugs=policy is not rules)
        return cast(Turns, graph.invoke(start, {"recursion_limit": 2 * steps + 2}))

    with span(name, SpanKind.AGENT, task=task) as current:
        policy = decide or rules
        state = attempt(policy)
        reason = state["stopped"] if decide else ""
        if reason:
            current.attributes |= {"attempted": policy.label, "attempted_turns": state["turns"]}
            reset()
            policy = rules
            state = attempt(policy)
        current.attributes |= {
            "policy": policy.label,
            "fell_back": bool(reason),
            "reason": reason,
            "turns": state["turns"],
        }
        current.outputs = {"calls": state["calls"], "last": str(state["messages"][-1].content)}
        if state["stopped"]:
            raise AgentError(f"agent {name}: its rules did not come to an end: {state['stopped']}.")
    return AgentOutcome(
        messages=tuple(state["messages"]),
        turns=state["turns"],
        calls=tuple(state["calls"]),
        policy=policy.label,
        fell_back=bool(reason),
        reason=reason,
    )


def ask(
    policy: Decide, messages: Sequence[BaseMessage], tools: Sequence[BaseTool], turn: int
) -> tuple[AIMessage | None, str]:
    """One turn of a policy in a span of its own: its message and "", or None and what it died of.

    Raises BudgetExceededError and StorageError, where no rules help, and StopRequestedError: the run stops.
    """
    with span(policy.label, SpanKind.MODEL, turn=turn, messages=len(messages)) as current:
        try:
            message = policy(messages, tools)
        except (BudgetExceededError, StorageError, StopRequestedError):
            raise
        except Exception as error:  # whatever a model dies of, the round goes on under the rules
            current.error = discreet(keepable(f"{type(error).__name__}: {error}"))
            return None, f"the model failed: {current.error}"
        wanted = [{"name": call["name"], "args": written(call["args"])} for call in calls_of(message)]
        current.outputs = {"text": message.text, "tool_calls": wanted}
        told = message.response_metadata
        current.attributes |= {
            name: told[name] for name in ("simulated", "recorded", "cost") if told.get(name)
        }
        if usage := message.usage_metadata:
            current.attributes |= {"tokens_in": usage["input_tokens"], "tokens_out": usage["output_tokens"]}
    return message, ""


def agent_graph(
    policy: Decide,
    tools: Sequence[BaseTool],
    max_steps: int,
    finished: Callable[[], bool],
    *,
    bugs: bool,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The two nodes of an agent. Nothing of it is checkpointed: an agent that was cut off starts over.

    `bugs`: whether the policy is told of a bug of a tool, in the place of an error."""
    by_name = {tool.name: tool for tool in tools}

    def decide(state: Turns) -> dict[str, Any]:
        turn = state["turns"] + 1
        message, stopped = ask(policy, state["messages"], tools, turn)
        return (
            {"turns": turn, "stopped": stopped} if message is None else {"turns": turn, "messages": [message]}
        )

    def act(state: Turns) -> dict[str, Any]:
        answers: list[BaseMessage] = []
        good: list[str] = []
        bad, done = state["bad"], False
        said = state["messages"][-1]
        wanted = calls_of(said)
        for call in wanted:
            # an answer breaks off in its last call
            answer = run_call(by_name, call, bugs=bugs, cut=cut_off(said) if call is wanted[-1] else "")
            answers.append(answer)
            bad = bad + 1 if answer.status == "error" else 0
            good += [] if bad else [str(call["name"])]
            done = finished()
            if done or bad >= BAD_IN_A_ROW:
                break
        if not answers:
            bad += 1
            answers.append(no_call(said, by_name))
        stopped = ""
        if not done and bad >= BAD_IN_A_ROW:
            stopped = f"{bad} bad calls in a row, the last answered: {answers[-1].text}"
        elif not done and state["turns"] >= max_steps:
            stopped = f"not done after {max_steps} turns"
        return {"messages": answers, "calls": good, "bad": bad, "stopped": stopped}

    graph = StateGraph(Turns)
    graph.add_node("decide", decide)
    graph.add_node("tools", act)
    graph.add_edge(START, "decide")
    graph.add_conditional_edges("decide", lambda state: END if state["stopped"] else "tools", ["tools", END])
    graph.add_conditional_edges(
        "tools", lambda state: END if state["stopped"] or finished() else "decide", ["decide", END]
    )
    return graph.compile(checkpointer=False, name="agent")
