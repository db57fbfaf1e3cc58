"""The miner's five agents: their tools, their rules, and their turn at the desk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import pandas as pd
import yaml

from serm.agents.loop import Decide, run_agent
from serm.agents.policy import Rules
from serm.tools.desk import MiningDesk
from serm.tools.mining_tools import mining_tools

Said = list[tuple[str, dict[str, Any]]]
Call = tuple[str, dict[str, Any]]

MAX_STEPS: Final = 12

SCORERS: Final[Mapping[str, tuple[str, ...]]] = {
    "feedback": ("find_engaged_low",),
    "click_model": ("fit_click_model",),
    "uncertainty": ("score_uncertainty",),
    "disagreement": ("score_uncertainty", "score_disagreement"),
    "drift": ("detect_drift", "score_uncertainty"),
}
"""The tools of each agent, beside describe_window, nominate and finish."""

REASONS: Final[Mapping[str, str]] = {
    "feedback": "users engaged with it although the model scores it low",
    "click_model": "it attracts clicks beyond what its position explains, and the model scores it low",
    "uncertainty": "the model is unsure of the grade",
    "disagreement": "the model contradicts itself under dropout",
}


def mine_with(
    agent: str, desk: MiningDesk, decide: Decide | None, quota: int, *, max_steps: int = MAX_STEPS
) -> pd.DataFrame:
    """One agent's nominations, at most `quota`: query_id, doc_id, agent, score, reason.

    `decide` is None for the agent's own rules. An agent that finds nothing nominates nothing; its span says why.
    """
    view = desk.view(agent, quota)
    prompts = agent_prompts()
    run_agent(
        agent,
        decide,
        Rules(RULES[agent]),
        mining_tools(view, ("describe_window", *SCORERS[agent], "nominate", "finish")),
        f"{prompts['common']}\n{prompts['agents'][agent]}",
        f"Nominate up to {quota} pairs of this window.",
        max_steps=max_steps,
        finished=lambda: view.closed,
        reset=view.reset,
    )
    return view.frame()


@cache
def agent_prompts() -> dict[str, Any]:
    """What a chat model is told of its part."""
    text = files("serm.agents").joinpath("prompts/agents.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def _one_list(agent: str, scorer: str) -> Callable[[Said], Call]:
    """Look, score, nominate the best, finish: the plan of every agent with one signal."""

    def plan(said: Said) -> Call:
        if not said:
            return "describe_window", {}
        quota = said[0][1]["quota"]
        if len(said) == 1:
            return scorer, {"top": max(quota, 1)}
        found = said[1][1]
        if len(said) == 2 and found["size"] and quota:
            return "nominate", {
                "candidates": found["candidates"],
                "count": min(found["size"], quota),
                "reason": REASONS[agent],
            }
        return "finish", {"reason": found.get("why") or "all that the signal found is nominated"}

    return plan


def _drift(said: Said) -> Call:
    """Test for drift, then nominate from each region that is new or growing, by its share of their pairs."""
    if not said:
        return "describe_window", {}
    quota = said[0][1]["quota"]
    if len(said) == 1:
        return "detect_drift", {}
    told = said[1][1]
    regions = [region for region in told["regions"] if region.get("size")]
    done = len(said) - 2
    if done < len(regions) and quota:
        left = said[-1][1]["left"] if done else quota
        region, rest = regions[done], sum(item["size"] for item in regions[done:])
        count = min(region["size"], max(1, round(left * region["size"] / rest)), left)
        name = ", ".join(region["examples"][:2])
        return "nominate", {
            "candidates": region["candidates"],
            "count": count,
            "reason": f"queries like: {name} are {region['kind']} in this window"[:300],
        }
    why = told.get("why") or ("regions are nominated" if regions else f"no drift (p = {told.get('p_value')})")
    return "finish", {"reason": why}


RULES: Final[Mapping[str, Callable[[Said], Call]]] = {
    "feedback": _one_list("feedback", "find_engaged_low"),
    "click_model": _one_list("click_model", "fit_click_model"),
    "uncertainty": _one_list("uncertainty", "score_uncertainty"),
    "disagreement": _one_list("disagreement", "score_disagreement"),
    "drift": _drift,
}
