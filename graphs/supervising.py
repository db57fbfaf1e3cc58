"""The nodes of a supervisor that is a chat model: it is told, it decides, a step is done, it is told of that.

Each turn is a node of its own and so has a checkpoint; its answer is in the ledger with what it cost. A kill
repeats neither a paid turn nor a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import (
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    messages_from_dict,
    messages_to_dict,
)

from serm.agents.policy import decider
from serm.agents.supervisor import NAME, Turn, model_turn, rules_turn, supervisor_system
from serm.graphs.briefing import QUESTIONS, briefing, pairs_allowed, told_of
from serm.graphs.questions import wait_for_answer
from serm.graphs.resources import Resources
from serm.graphs.state import Supervision, SupervisorState
from serm.storage.trace import SpanKind, span
from serm.tools.supervisor_tools import AFTER, RoundDesk

Update = dict[str, Any]
Given = Mapping[str, Any]

FRESH = Supervision(
    talk=[], phase="opened", turns=0, bad=0, by_rules="", act="", call="", question="", questions=0, halt=""
)
"""At the start of a round."""


class SupervisingNodes:
    def __init__(self, resources: Resources) -> None:
        self._ = resources
        self._decide = decider(resources.settings, NAME, resources.purse)

    @property
    def supervised(self) -> bool:
        """Whether a chat model decides."""
        return self._decide is not None

    def tell(self, state: SupervisorState) -> Update:
        """Tell the model of the round, or of what came of its last step."""
        held = state["supervision"]
        phase = AFTER.get(held["act"], held["phase"])
        said: list[BaseMessage] = []
        if not held["talk"]:
            said = [SystemMessage(supervisor_system()), HumanMessage(briefing(self._, state))]
        elif held["call"]:
            with span(held["act"], SpanKind.TOOL) as current:
                current.outputs = told_of(self._, state)
            said = [ToolMessage(current.outputs, tool_call_id=held["call"], name=held["act"])]
        talk = [*held["talk"], *messages_to_dict(said)]
        return {"supervision": {**held, "phase": phase, "talk": talk, "act": "", "call": ""}}

    def supervise(self, state: SupervisorState) -> Update:
        """Decide the next step; none where the model's call was wrong: then it is asked once more."""
        held = state["supervision"]
        if held["by_rules"] or held["halt"] or self._decide is None:
            return self._by_rules(state, held)
        desk = self._desk(state)
        found = model_turn(
            self._decide,
            messages_from_dict(held["talk"]),
            desk,
            turn=held["turns"] + 1,
            bad=held["bad"],
            max_steps=self._.settings.agents.max_steps,
            asking=self._.settings.agents.ask,
        )
        talk = [*held["talk"], *messages_to_dict(list(found.messages))]
        after: Supervision = {**held, "talk": talk, "turns": held["turns"] + 1, "bad": found.bad}
        if found.stopped:
            return {"supervision": {**after, "by_rules": found.stopped}}
        return self._decided(state, {**after, "act": found.act, "call": found.call}, found)

    def ask_person(self, state: SupervisorState) -> Update:
        """Wait until a person has answered. The graph is interrupted until then."""
        wait_for_answer(self._, state)
        return {}

    def _by_rules(self, state: SupervisorState, held: Supervision) -> Update:
        act = rules_turn(held["phase"])
        update: Update = {"supervision": {**held, "act": act, "call": ""}}
        return {**update, "pairs": pairs_allowed(self._, state["round"])} if act == "mine" else update

    def _desk(self, state: SupervisorState) -> RoundDesk:
        held, may = state["supervision"], QUESTIONS if self._.settings.agents.ask else 0
        return RoundDesk(
            phase=held["phase"],
            pairs=pairs_allowed(self._, state["round"]),
            questions=may - held["questions"],
        )

    def _decided(self, state: SupervisorState, after: Supervision, found: Turn) -> Update:
        """What a decision changes, beside the step to go to."""
        change = {"mine": self._mined, "ask_person": self._asked, "stop": self._stopped}.get(found.act)
        return change(state, after, found.given or {}) if change else {"supervision": after}

    def _mined(self, _: SupervisorState, after: Supervision, given: Given) -> Update:
        return {"supervision": after, "pairs": given["pairs"]}

    def _asked(self, _: SupervisorState, after: Supervision, given: Given) -> Update:
        asked = {"question": given["question"], "questions": after["questions"] + 1}
        return {"supervision": {**after, **asked}}

    def _stopped(self, state: SupervisorState, after: Supervision, given: Given) -> Update:
        """End the run; the window counts as not begun. The rules first use labels that are paid for."""
        halts, why = state.get("halts", 0) + 1, f"the supervisor stopped it: {given['reason']}"
        if after["phase"] in ("labelled", "trained"):
            return {"supervision": {**after, "act": "", "call": "", "halt": why}, "halts": halts}
        return {"supervision": after, "halts": halts, "stop": why, "round": state["round"] - 1}
