"""The supervisor: decides what comes next in a round, one turn at a time.

Unlike the miner's agents it does not run to its end in one go: between two turns whole steps are done, and a
checkpoint is written. So what it has heard and said so far is handed in, and what is new handed back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml
from langchain_core.messages import BaseMessage, ToolMessage

from serm.agents.cut_off import cut_off
from serm.agents.loop import BAD_IN_A_ROW, Decide, ask
from serm.agents.tool_calls import calls_of, no_call, run_call
from serm.storage.trace import SpanKind, span
from serm.tools.supervisor_tools import NEXT, RoundDesk, supervisor_tools

NAME: Final = "supervisor"


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of one turn."""

    messages: tuple[
        BaseMessage, ...
    ] = ()  # new ones; the call that decided is answered once its step is done
    act: str = ""  # the step that was decided, and its arguments; "": none, ask again
    given: dict[str, Any] | None = None
    call: str = ""  # id of the tool call that decided it
    bad: int = 0  # bad turns in a row, this one included
    stopped: str = ""  # why the model has lost the floor for the rest of the round


def supervisor_system() -> str:
    """What a chat model is told of its part."""
    return _prompt()["system"]


@cache
def _prompt() -> dict[str, str]:
    text = files("serm.agents").joinpath("prompts/supervisor.yaml").read_text(encoding="utf-8")
    loaded: dict[str, str] = yaml.safe_load(text)
    return loaded


def model_turn(
    decide: Decide,
    talk: Sequence[BaseMessage],
    desk: RoundDesk,
    *,
    turn: int,
    bad: int,
    max_steps: int,
    asking: bool,
) -> Turn:
    """Let a chat model decide, in a span that says who decided and, where it lost the floor, why.

    `turn` counts from 1 in the round, `bad` the bad turns in a row before this one. The first call of a turn
    counts, its others are refused. A second bad turn in a row, a model that fails and turns that run out end
    its part. Raises BudgetExceededError, StorageError and StopRequestedError.
    """
    tools = supervisor_tools(desk, asking=asking)
    with span(NAME, SpanKind.AGENT, task=str(talk[1].content) if turn == 1 else "") as current:
        message, stopped = (
            ask(decide, talk, tools, turn)
            if turn <= max_steps
            else (None, f"not done after {max_steps} turns")
        )
        if message is None:
            found = Turn(bad=bad, stopped=stopped)
        else:
            found = _heard(message, {tool.name: tool for tool in tools}, desk, bad)
        current.attributes |= {"policy": decide.label, "turns": turn, "fell_back": bool(found.stopped)}
        if found.stopped:
            current.attributes |= {"policy": "rules", "attempted": decide.label, "reason": found.stopped}
        current.outputs = {"act": found.act, **(found.given or {})}
    return found


def rules_turn(phase: str) -> str:
    """The rules: mine, annotate, retrain, evaluate, each once."""
    with span(NAME, SpanKind.AGENT) as current:
        current.attributes["policy"] = "rules"
        current.outputs = {"act": NEXT[phase]}
    return NEXT[phase]


def _heard(message: BaseMessage, tools: dict[str, Any], desk: RoundDesk, bad: int) -> Turn:
    """Run the first call; what is wrong with it goes back to the model."""
    if not (calls := calls_of(message)):
        rebuke = no_call(message, tools)
        return _again([message, rebuke], bad + 1, rebuke.text)
    first, *others = calls
    refused = [
        ToolMessage(
            "Error: one call a turn; this one was not made.",
            tool_call_id=str(call["id"] or ""),
            status="error",
        )
        for call in others
    ]
    answer = run_call(tools, first, cut="" if others else cut_off(message))
    if desk.act:
        identity = str(first["id"] or "")
        return Turn((message, *refused), desk.act, desk.given, identity)
    return _again([message, answer, *refused], bad + 1, answer.text)


def _again(messages: Sequence[BaseMessage], bad: int, said: str) -> Turn:
    lost = f"{bad} bad calls in a row, the last answered: {said}" if bad >= BAD_IN_A_ROW else ""
    return Turn(tuple(messages), bad=bad, stopped=lost)
