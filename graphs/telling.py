"""annotation.json: what became of a sample, and what each stage of its annotation took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serm.agents import tallies
from serm.core.records import Label
from serm.graphs.bench import Bench, State


def told(
    bench: Bench, state: State, labels: Sequence[Label], *, debate: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Counts of judging, and apart from it of calibration and debate, each None where it did not take place.

    All are counted from the judgments that the labels rest on: a kill and a resume change none of them.
    """
    panel, frame, said = bench.panel(state), bench.frame(state), bench.said(state)
    before = bench.told_of(state["labels"]) if debate else {}  # the panel's own vote came before the debate
    return {
        "pairs": len(labels),
        "rule": before.get("rule") or ", ".join(bench.chaired.rules) or bench.agreement.rule,
        "outcomes": tallies.outcomes(labels),
        "grades": tallies.grades(labels),
        "judging": tallies.tally(tallies.together(said)),
        "judges": tallies.by_judge(panel, frame, said),
        "simulated_judges": list(panel.simulated),
        "saved": tallies.saved(panel, frame, said),
        "calibration": _calibration(bench, state),
        "debate": debate,
        "fell_back": {**before.get("fell_back", {}), **bench.chaired.fell_back},
    }


def _calibration(bench: Bench, state: State) -> dict[str, Any] | None:
    if not state["reliability"]:
        return None
    found = bench.reliability(state)
    juries = [{key: item[key] for key in item if key != "model"} for item in found["juries"]]
    return {"reliability": state["reliability"], **found["calibration"], "juries": juries}
