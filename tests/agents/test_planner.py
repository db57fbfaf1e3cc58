"""Quotas of the miner's agents: planned by a chat model within the budget, or by the shares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from langchain_core.messages import AIMessage
from mining_desks import make_desk

from serm.agents.loop import Decide
from serm.agents.planner import NAME, Plan, make_plan
from serm.agents.policy import decider
from serm.core.settings import Settings

SHARES = {"uncertainty": 2.0, "drift": 1.0, "feedback": 1.0}
BY_SHARES = {"uncertainty": 20, "drift": 10, "feedback": 10}


def call(name: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": name}])


def quotas(**given: int) -> AIMessage:
    return call("set_quotas", quotas=given)


SUBMIT = call("submit_plan", reason="the last yield says so")


class Policy:
    """Plays given turns; an exception among them is raised."""

    label = "a model"

    def __init__(self, *turns: AIMessage | Exception) -> None:
        self.turns, self.heard = list(turns), list[str]()

    def __call__(self, messages: Any, tools: Any) -> AIMessage:
        self.heard.append(messages[-1].text)
        turn = self.turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return turn


def planned(*turns: AIMessage | Exception) -> tuple[Plan, Policy]:
    policy = Policy(*turns)
    profile = {"last_yield": {"by_agent": {"drift": {"kept": 3}}}}
    return make_plan(make_desk(), SHARES, 40, policy, profile, max_steps=4), policy


def test_without_a_model_the_shares_are_the_plan() -> None:
    plan = make_plan(make_desk(), SHARES, 40, None, {})
    assert (plan.quotas, plan.policy, plan.fell_back) == (BY_SHARES, "rules", "")


def test_a_model_hears_the_profile_looks_and_its_quotas_are_the_plan() -> None:
    plan, policy = planned(
        call("score_uncertainty", stratum="tail", top=5),
        quotas(drift=12),
        quotas(drift=30, uncertainty=5),
        SUBMIT,
    )
    assert plan == Plan(
        {"uncertainty": 5, "drift": 30, "feedback": 0}, "the last yield says so", "a model", ""
    )
    assert '"kept":3' in policy.heard[0]
    assert '"size":' in policy.heard[1]
    assert '"pairs":{"uncertainty":0,"drift":40,"feedback":0}' in policy.heard[2], "the whole budget goes out"


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ([quotas(drift=41)] * 2, "the quotas come to 41 pairs, and the budget is 40."),
        ([quotas(bald=3)] * 2, "there is no agent bald. The agents are uncertainty, drift, feedback."),
        ([quotas(drift=-1)] * 2, "quotas.drift: Input should be greater than or equal to 0"),
        ([quotas()] * 2, "the quotas come to no pair at all."),
        ([call("set_quotas", quotas="all")] * 2, "quotas: Input should be a valid dictionary"),
        ([SUBMIT] * 2, "there are no quotas yet: call set_quotas first."),
        ([call("nominate", candidates="c1", count=1, reason="x")] * 2, "there is no tool nominate"),
        ([AIMessage("I would say half and half.")] * 2, "You called no tool"),
        ([quotas(drift=1)] * 4, "not done after 4 turns"),
        ([quotas(drift=1), TimeoutError("gone")], "the model failed: TimeoutError: gone"),
    ],
)
def test_a_bad_plan_or_a_dead_model_leaves_it_to_the_shares(turns: list[Any], why: str) -> None:
    plan, _ = planned(*turns)
    assert (plan.quotas, plan.policy) == (BY_SHARES, "rules")
    assert why in plan.fell_back


def scripted(folder: Path, *turns: AIMessage) -> Decide | None:
    """Who decides where `agents.llm` is a script with these turns for the planner."""
    calls = [
        {"tool_calls": [{"name": call["name"], "args": call["args"]} for call in turn.tool_calls]}
        for turn in turns
    ]
    (folder / "script.yaml").write_text(yaml.safe_dump({"agents": {NAME: calls}}))
    values = {
        "data": {"sources": [{"pairs": "pairs.parquet"}]},
        "agents": {"policy": "llm", "llm": "scripted:script.yaml"},
    }
    return decider(Settings.from_mapping(values, folder=folder, environment={}), NAME)


def test_a_scripted_model_that_asks_for_more_than_the_budget_twice_leaves_it_to_the_shares(
    tmp_path: Path,
) -> None:
    decide = scripted(tmp_path, quotas(drift=30, uncertainty=30), quotas(drift=41), SUBMIT)
    plan = make_plan(make_desk(), SHARES, 40, decide, {})
    assert (plan.quotas, plan.policy) == (BY_SHARES, "rules")
    assert "the quotas come to 41 pairs, and the budget is 40." in plan.fell_back


def test_a_scripted_model_that_mends_its_plan_is_followed_within_the_budget(tmp_path: Path) -> None:
    decide = scripted(tmp_path, quotas(drift=41), quotas(drift=30, uncertainty=10), SUBMIT)
    plan = make_plan(make_desk(), SHARES, 40, decide, {})
    assert (plan.quotas, plan.fell_back) == ({"uncertainty": 10, "drift": 30, "feedback": 0}, "")
    assert plan.policy == "scripted:script.yaml"
