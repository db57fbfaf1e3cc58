"""How a round's labels came about, stage by stage: what reached a stage, what it kept, and what it took."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import pandas as pd

from serm.core.columns import KEY
from serm.core.records import Outcome
from serm.tools.peer_vote import RULES

Stage = dict[str, Any]
Told = Mapping[str, Any]

_TOOK: Final = ("calls", "tokens", "cost")


def stages(labels: pd.DataFrame, annotation: Told, human: Told, sealed: pd.DataFrame) -> list[Stage]:
    """The stages that a round went through, in their order: calibration, panel, debate, human.

    `annotation` is what the annotator told of the labels (annotation.json), `human` what the review did
    (human.json); {} where there is none. `sealed` are human grades (query_id, doc_id, grade), for the share
    of kept labels that is right, as far as there are any.
    Of each stage: `pairs` that reached it; `kept`, how many of them it settled; `share`, those of the whole
    sample; `right`, the accuracy over the `graded` ones of these; `calls` (paths of judges), `tokens`, `cost`
    of its own. Pairs of the calibration are no pairs of the sample: nothing is kept of them. A stage that was
    not gone through is left out.
    """
    found: list[Stage] = []
    if calibration := annotation.get("calibration"):
        found.append({"stage": "calibration", "pairs": calibration["pairs"], **_took(calibration)})
    judging = annotation.get("judging") or dict(labels[list(_TOOK)].sum())
    panel = {"stage": "panel", "rule": annotation.get("rule", ""), "pairs": len(labels)}
    found.append({**panel, **_kept(labels, RULES, sealed), **_took(judging)})
    if debate := annotation.get("debate"):
        told = {"stage": "debate", "pairs": debate["pairs"]}
        found.append({**told, **_kept(labels, [Outcome.DEBATE], sealed), **_took(debate)})
    if human:
        told = {"stage": "human", "pairs": human["asked"], **_kept(labels, [Outcome.HUMAN], sealed)}
        found.append({**told, **dict.fromkeys(_TOOK, 0), "seconds": human["seconds"]["total"]})
    return found


def label_accuracy(labels: pd.DataFrame, sealed: pd.DataFrame) -> dict[str, Any] | None:
    """How often a kept label is the human grade (in a simulation: the truth): over all, and by outcome.

    None where no kept label has a human grade. For the report alone.
    """
    both = _with_truth(labels, sealed)
    if both.empty:
        return None
    by_outcome = {
        str(outcome): {"pairs": len(rows), "accuracy": float(rows["right"].mean())}
        for outcome, rows in both.groupby("outcome")
    }
    return {"pairs": len(both), "accuracy": float(both["right"].mean()), "by_outcome": by_outcome}


def _kept(labels: pd.DataFrame, outcomes: Collection[str], sealed: pd.DataFrame) -> Stage:
    kept = labels[labels["outcome"].isin([str(outcome) for outcome in outcomes])]
    both = _with_truth(kept, sealed)
    return {
        "kept": len(kept),
        "share": len(kept) / max(1, len(labels)),
        "graded": len(both),
        "right": float(both["right"].mean()) if len(both) else None,
    }


def _with_truth(labels: pd.DataFrame, sealed: pd.DataFrame) -> pd.DataFrame:
    """The labels with a human grade beside them, and whether the two are the same."""
    both = labels.dropna(subset=["grade"]).merge(sealed, on=list(KEY), suffixes=("", "_human"))
    return both.assign(right=both["grade"].astype(int) == both["grade_human"].astype(int))


def _took(tally: Told) -> Stage:
    return {"calls": int(tally["calls"]), "tokens": int(tally["tokens"]), "cost": float(tally["cost"])}
