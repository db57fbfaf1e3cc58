"""The miner's agents: their tools, their rules, and their turn at the desk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import pandas as pd
import yaml

from serm.agents.loop import AgentOutcome, Decide, run_agent
from serm.agents.policy import Call, Rules, Said
from serm.storage.trace import SpanKind, span
from serm.tools.desk import MiningDesk
from serm.tools.mining_tools import mining_tools

SCORERS: Final[Mapping[str, tuple[str, ...]]] = {
    "feedback": ("find_engaged_low",),
    "click_model": ("fit_click_model",),
    "uncertainty": ("score_uncertainty",),
    "disagreement": ("score_uncertainty", "score_disagreement"),
    "drift": ("detect_drift", "score_uncertainty"),
    "skipped": ("find_skipped_high",),
    "bald": ("score_uncertainty", "score_bald"),
    "committee": ("score_uncertainty", "score_committee"),
    "novelty": ("score_novelty",),
}
"""The tools of each agent, beside describe_window, nominate and finish."""


def mine_with(
    agent: str,
    desk: MiningDesk,
    decide: Decide | None,
    quota: int,
    *,
    max_steps: int = 12,
    told: Callable[[AgentOutcome], object] = lambda _: None,
) -> pd.DataFrame:
    """One agent's nominations, at most `quota`: query_id, doc_id, agent, score, reason.

    `decide` is None for the agent's own rules; `told` hears who decided in the end. An agent that finds
    nothing nominates nothing, and its span says why. Raises AgentError where even its rules fail.
    """
    view = desk.view(agent, quota)
    if quota < 1:  # what it would score costs passes of the model, and what it finds has no room
        with span(agent, SpanKind.AGENT) as current:
            current.attributes |= {"policy": "rules", "fell_back": False, "reason": "", "turns": 0}
            current.outputs = {"calls": [], "last": "not asked: its share comes to no pair"}
        return view.frame()
    prompts = agent_prompts()
    outcome = run_agent(
        agent,
        decide,
        Rules(RULES[agent]),
        mining_tools(view, ("describe_window", *SCORERS[agent], "nominate", "finish")),
        system=f"{prompts['common']}\n{prompts['agents'][agent]}",
        task=f"Nominate up to {quota} pairs of this window.",
        max_steps=max_steps,
        finished=lambda: view.closed,
        reset=view.reset,
    )
    told(outcome)
    return view.frame()


@cache
def agent_prompts() -> dict[str, Any]:
    """What a chat model is told of its part."""
    text = files("serm.agents").joinpath("prompts/agents.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def _one_list(scorer: str, reason: str) -> Callable[[Said], Call]:
    """Look, score, nominate the best, finish: the plan of an agent with one signal."""

    def plan(said: Said) -> Call:
        if not said:
            return "describe_window", {}
        quota = said[0]["quota"]
        if len(said) == 1:
            return scorer, {"top": quota}
        found = said[1]
        count = min(found["size"], quota)
        if len(said) == 2 and count:
            return "nominate", {"candidates": found["candidates"], "count": count, "reason": reason}
        return "finish", {"reason": found.get("why") or "all that the signal found is nominated"}

    return plan


def _drift(said: Said) -> Call:
    """Test for drift, then nominate from each region that is new or growing, by its share of their pairs."""
    if not said:
        return "describe_window", {}
    if len(said) == 1:
        return "detect_drift", {}
    told, nominated = said[1], said[2:]
    regions = [region for region in told["regions"] if region.get("size")]
    left = nominated[-1]["left"] if nominated else said[0]["quota"]
    if not left or len(nominated) >= len(regions):
        return "finish", {"reason": told.get("why") or "the regions that are new or growing are nominated"}
    region, waiting = regions[len(nominated)], regions[len(nominated) :]
    share = left * region["size"] / sum(item["size"] for item in waiting)
    return "nominate", {
        "candidates": region["candidates"],
        "count": min(region["size"], max(1, round(share))),
        "reason": f"queries like these are {region['kind']}: {', '.join(region['examples'])}"[:300],
    }


RULES: Final[Mapping[str, Callable[[Said], Call]]] = {
    "feedback": _one_list("find_engaged_low", "users engaged with it, and the model scores it low"),
    "click_model": _one_list(
        "fit_click_model", "it attracts more clicks than its position explains, and the model scores it low"
    ),
    "uncertainty": _one_list("score_uncertainty", "the model is unsure of the grade"),
    "disagreement": _one_list("score_disagreement", "the model contradicts itself under dropout"),
    "drift": _drift,
    "skipped": _one_list(
        "find_skipped_high", "users passed it over more often than its position explains, and it scores high"
    ),
    "bald": _one_list("score_bald", "its label would tell the model much"),
    "committee": _one_list("score_committee", "the model, the one before it and the base model disagree"),
    "novelty": _one_list("score_novelty", "its query is unlike any before, and others like it are around"),
}
