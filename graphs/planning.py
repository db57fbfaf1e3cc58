"""The plan of a round's mining: in which proportion the agents share the budget."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from serm.agents.planner import NAME, make_plan
from serm.agents.policy import decider
from serm.graphs.crediting import shares
from serm.graphs.fallen import mark, mined_by_rules, sound_name
from serm.graphs.mining import mining_key, open_desk, pairs_to_choose
from serm.graphs.profile import window_profile
from serm.graphs.resources import Resources
from serm.graphs.state import MinerState
from serm.storage.artifacts import find_or_create, write_json
from serm.storage.reading import read_json

PLAN = "plan.json"


def mined_name(resources: Resources, state: MinerState) -> str:
    """The name of all that the round mines: it stays the same from its first step on. What rules mined in
    their model's place, for others than this round, is passed over."""
    if name := state.get("name"):
        return name
    samples = resources.workspace.samples
    return sound_name(mining_key(resources, state), lambda name: mined_by_rules(samples, name, state))


def plan_round(resources: Resources, state: MinerState) -> str:
    """Find or make the plan of a chat model; its name in samples/."""
    key = f"{mined_name(resources, state)}-plan"

    def make(folder: Path) -> None:
        settings = resources.settings
        plan = make_plan(
            open_desk(resources, state),
            shares(resources, state["round"]),
            pairs_to_choose(resources, state),
            decider(settings, NAME, resources.purse),
            window_profile(resources, state),
            max_steps=settings.agents.max_steps,
        )
        write_json(folder / PLAN, asdict(plan))
        mark(folder, NAME, state, plan.fell_back)

    find_or_create(resources.workspace.samples, key, make)
    return key


def planned_shares(resources: Resources, state: MinerState) -> dict[str, float]:
    """The agents' shares of the budget: those of the plan, else of the config, moved by credit where set."""
    if not (name := state.get("plan")):
        return shares(resources, state["round"])
    plan = read_json(resources.workspace.samples / name / PLAN)
    return {str(agent): float(pairs) for agent, pairs in plan["quotas"].items()}
