"""The miner's planner: shares the budget out among the miner's agents before they look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from serm.agents.loop import Decide, run_agent
from serm.agents.miners import agent_prompts
from serm.agents.policy import Call, Rules, Said
from serm.tools.desk import MiningDesk
from serm.tools.plan_tools import PlanDesk, plan_tools
from serm.tools.quotas import shared_out
from serm.tools.result import result

NAME: Final = "planner"


@dataclass(frozen=True, slots=True)
class Plan:
    """In which proportion the agents share the budget, in pairs, and why."""

    quotas: dict[str, int]
    reason: str
    policy: str  # who made it: a model's label, or `rules`
    fell_back: str  # why the model's plan is not this one; "" where it is


def make_plan(
    desk: MiningDesk,
    shares: Mapping[str, float],
    budget: int,
    decide: Decide | None,
    profile: Mapping[str, Any],
    *,
    max_steps: int = 12,
) -> Plan:
    """Quotas that come to at most `budget` pairs, under `decide` or (None) by `shares`, which are positive.

    They are shares: all of the budget goes out in proportion to them, and what an agent cannot use to the
    others.

    `profile` is what the model is told of the window and of the last round. A plan that does not hold comes
    back to it; the second bad one in a row, a model that fails and turns that run out leave it to the shares,
    and the span says why.
    """
    notes = PlanDesk(desk.view(NAME, 0), tuple(shares), budget)
    outcome = run_agent(
        NAME,
        decide,
        plan_rules(shares, budget),
        plan_tools(notes),
        system=agent_prompts()[NAME],
        task="\n".join(
            [
                f"Share out {budget} pairs among {', '.join(shares)}. By the config they get "
                f"{result(shared_out(budget, shares))}.",
                f"What is known of the window and of the last yield: {result(profile)}",
            ]
        ),
        max_steps=max_steps,
        finished=lambda: notes.submitted,
        reset=notes.reset,
    )
    return Plan(notes.quotas, notes.reason, outcome.policy, outcome.reason)


def plan_rules(shares: Mapping[str, float], budget: int) -> Rules:
    """The plan without a model: by the shares."""

    def plan(said: Said) -> Call:
        if not said:
            return "set_quotas", {"quotas": shared_out(budget, shares)}
        return "submit_plan", {"reason": "by the shares of the config"}

    return Rules(plan)
