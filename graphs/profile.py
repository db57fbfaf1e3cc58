"""What a chat model is told of a window before it decides: how it is, and how the last rounds went.

All of it comes from the stream, the panel's labels and the gate's open grades. Sealed grades and the tests'
never get here: not a figure of a report's `evaluations`, `label_accuracy` or `right`.
"""

from __future__ import annotations

import math
from typing import Any, Final

from serm.core.columns import KEY
from serm.evals.evaluate import evaluate
from serm.graphs.mining import desk_key, open_desk
from serm.graphs.resources import Resources
from serm.graphs.state import MinerState
from serm.graphs.training import gate_key
from serm.relevance_model.scoring import stored_scores
from serm.storage.reading import read_frame
from serm.storage.rounds import read_rounds
from serm.tools.desk_tools import window_facts
from serm.tools.drift_tools import drift_facts
from serm.tools.yields import yields

ROUNDS: Final = 3
"""Last rounds that are told of; chosen."""
REGIONS: Final = 3
"""Drifted regions that are told of; chosen."""


def window_profile(resources: Resources, state: MinerState) -> dict[str, Any]:
    """Sizes, drift, calibration, and the last round's yield by agent. Made once a round and model."""

    def make() -> dict[str, Any]:
        desk = open_desk(resources, state)
        return {
            "window": {"name": resources.window(state["round"]).name, **window_facts(desk)},
            "drift": drift_facts(desk, REGIONS),
            "calibration": calibration(resources, state["round"], state["champion"]),
            "last_yield": last_yield(resources, state["round"]),
        }

    return resources.once(("profile", desk_key(resources, state)), make)


def calibration(resources: Resources, number: int, model: str) -> dict[str, Any]:
    """Of a model on the gate rows that are open in a round: how often its likeliest grade is right, and how
    far its probabilities are off (expected calibration error)."""
    frame = resources.dataset.gate(number - 1)
    if frame.empty:
        return {"human_graded": 0}
    key = resources.score_key("gate", gate_key(resources, number), model)
    found = evaluate(
        frame, stored_scores(resources.workspace.scores, key, resources.models.open(model), frame)
    )
    return {
        "human_graded": len(frame),
        "ndcg@4": _rounded(found.ndcg["ndcg@4"]),
        "accuracy": _rounded(found.accuracy),
        "calibration_error": _rounded(found.ece),
    }


def last_yield(resources: Resources, number: int) -> dict[str, Any]:
    """By agent what became of the last round's pairs (tools/yields.py); {} before any round. Under
    `miner.credit` their credit, too: how far their labels ask for what the gate asks for (tools/credit.py).
    Without it nobody who plans is told: quotas would follow the grades that decide."""
    reports = read_rounds(resources.workspace.rounds)
    if len(reports) < 2 or number < 2:
        return {}
    report = reports[min(number, len(reports)) - 1]
    folder = resources.workspace.folder
    sample = read_frame(folder / report["sample"], [*KEY, "agent"])
    labels = read_frame(folder / report["labels"], [*KEY, "grade", "outcome"])
    window = resources.dataset.window(report["round"] - 1, KEY)
    scores = resources.scores(report["round"], report["models"]["champion_before"])[1]
    before = window.assign(expected=scores.expected)
    told = sample.merge(labels, on=list(KEY), how="left").merge(before, on=list(KEY), how="left")
    by_agent: dict[str, dict[str, Any]] = {agent: {**found} for agent, found in yields(told).items()}
    if resources.settings.miner.credit:
        credit = report.get("credit") or {}
        for agent, found in by_agent.items():
            found["credit"] = _rounded(credit.get(agent, {}).get("credit"))
    return {"round": report["round"], "by_agent": by_agent}


def last_rounds(resources: Resources) -> list[dict[str, Any]]:
    """The gate's word on the last rounds, the newest last. NDCG@4 of the gate's open human grades."""
    told = []
    for report in [report for report in read_rounds(resources.workspace.rounds) if report["round"]][-ROUNDS:]:
        decision, counts = report["decision"], report["counts"]
        told.append(
            {
                "round": report["round"],
                "verdict": report["verdict"],
                "gate_change": _rounded(decision["change"]["mean"]),
                "lower_bound": _rounded(decision["change"]["low"]),
                "detectable": _rounded(decision["detectable"]),
                "mined": counts["mined"],
                "labels_kept": counts["labelled"],
                "cost": _rounded(counts["judging"]["cost"] + counts["agents"]["cost"]),
            }
        )
    return told


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(float(value), 4)
