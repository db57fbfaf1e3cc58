"""What labels took, counted from the judgments themselves: the same after a kill as without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from serm.agents.inquiry import Said
from serm.agents.panel import Panel
from serm.agents.shard_report import mean_outside
from serm.core.records import FailureKind, Judgment, Label
from serm.llm.base import paths_of


def tally(judgments: Iterable[Judgment]) -> dict[str, Any]:
    """Judgments that were asked for, failures by kind, calls (paths), requests, tokens and cost."""
    asked = [judgment for judgment in judgments if not _unasked(judgment)]
    failures = Counter(judgment.failure.kind.value for judgment in asked if judgment.failure)
    return {
        "judgments": len(asked),
        "failures": dict(sorted(failures.items())),
        "calls": sum(len(judgment.paths) for judgment in asked),
        "requests": sum(judgment.requests for judgment in asked),
        "tokens": sum(judgment.tokens_in + judgment.tokens_out for judgment in asked),
        "cost": sum(judgment.cost for judgment in asked),
    }


def by_judge(panel: Panel, frame: pd.DataFrame, said: Said) -> dict[str, Any]:
    """For each judge the pairs that it was to grade, what it did, whether it is a simulated one, and the mean
    probability mass that it put on no grade, where its server tells (`outside`)."""
    told: dict[str, Any] = {}
    for name in panel.names:
        own = [judgment for judgments in said.values() for judgment in judgments if judgment.judge == name]
        told[name] = {
            "pairs": len(panel.wanted(name, frame)),
            **tally(own),
            "over_budget": sum(_unasked(judgment) for judgment in own),
            "outside": mean_outside(own),
            "simulated": name in panel.simulated,
        }
    return told


def saved(panel: Panel, frame: pd.DataFrame, said: Said) -> dict[str, Any]:
    """Calls of judges behind servers that did not have to be made, against all paths of all of them.

    `within`: further paths of a judge whose majority stood. `across`: judges of pairs whose outcome stood.
    """
    full = within = across = 0
    for judges, rows in panel.groups(frame):
        for name in judges:
            judge = panel.members[name].judge
            if judge.remote:
                full += len(rows) * paths_of(judge, panel.paths)
                across += len(rows) * paths_of(judge, panel.paths)
    for judgments in said.values():
        for judgment in judgments:
            judge = panel.members[judgment.judge].judge
            if judge.remote:
                paths = paths_of(judge, panel.paths)
                across -= paths
                within += 0 if _unasked(judgment) else paths - len(judgment.paths)
    return {
        "full": full,
        "within": within,
        "across": across,
        "share": (within + across) / full if full else 0.0,
    }


def outcomes(labels: Sequence[Label]) -> dict[str, int]:
    """How many labels came about in which way."""
    return dict(Counter(label.outcome.value for label in labels))


def together(said: Said) -> Iterable[Judgment]:
    """All judgments of all pairs."""
    return (judgment for judgments in said.values() for judgment in judgments)


def grades(labels: Sequence[Label]) -> Mapping[str, int]:
    """How many labels bear which grade."""
    return dict(sorted(Counter(str(label.grade) for label in labels if label.grade is not None).items()))


def _unasked(judgment: Judgment) -> bool:
    failure = judgment.failure
    return failure is not None and failure.kind is FailureKind.OVER_BUDGET and not judgment.cache_key
