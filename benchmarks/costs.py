"""What arms cost, and what they add for what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from serm.benchmarks.arm_tables import arms_in_order
from serm.benchmarks.arms import Results
from serm.benchmarks.collect import reports
from serm.benchmarks.figures import NONE, SMALLEST, smallest
from serm.benchmarks.runs import Run
from serm.core.records import Interval
from serm.evals.tables import NOTHING, Cells, difference


def per_thousand(results: Results) -> Cells:
    """What each arm adds to frozen after the last round for every 1,000 pairs that were sent to the panel.

    Tests alone: a window is measured before its own labels and all later ones are there."""
    headers = ("arm", "pairs judged", *results.sets)
    rows: list[tuple[str, ...]] = []
    gains = []
    for arm in arms_in_order(results):
        judged = pairs_judged(results, arm)
        each = [_scaled(results.gain(arm, name), 1_000 / judged) if judged else NONE for name in results.sets]
        gains.append(each)
        rows.append((results.named(arm), f"{judged:,.0f}", *map(difference, each)))
    rows.append((SMALLEST, "", *smallest(gains)))
    return Cells(headers, tuple(rows), frozenset({"arm", *results.sets}))


def pairs_judged(results: Results, arm: str) -> float:
    """Pairs that an arm sent to the panel, a seed (and fold) on average."""
    return _mean(_of_arm(results, arm), lambda report: report["counts"]["mined"])


def _scaled(interval: Interval, factor: float) -> Interval:
    return Interval(
        interval.mean * factor, interval.low * factor, interval.high * factor, interval.n, interval.level
    )


def costs(results: Results) -> Cells:
    """What the arms took, a seed (and fold) on average: pairs sent to the panel, labels, calls, tokens,
    money, time. Of the kept labels that have a human grade the share that is right. What the gate had judged
    for itself stands apart."""
    headers = (
        "arm",
        "pairs judged",
        "kept",
        "kept right",
        "judgments",
        "tokens",
        "cost",
        "for the gate",
        "promoted",
        "minutes",
    )
    rows = []
    for arm in arms_in_order(results):
        of_arm = _of_arm(results, arm)
        judged = pairs_judged(results, arm)
        kept = _mean(of_arm, lambda report: report["counts"]["labelled"])
        graded = _mean(of_arm, lambda report: (report["label_accuracy"] or {}).get("pairs", 0))
        right = _mean(of_arm, _right)
        judging = [
            _mean(of_arm, lambda report, key=key: report["counts"]["judging"][key])
            for key in ("judgments", "tokens_in", "tokens_out", "cost")
        ]
        of_gate = _mean(of_arm, lambda report: report["counts"].get("gate", {}).get("judgments", 0))
        promoted = _mean(of_arm, lambda report: report["verdict"] == "promoted")
        minutes = _mean(of_arm, lambda report: report["seconds"] / 60)
        rows.append(
            (
                results.named(arm),
                f"{judged:,.0f}",
                f"{kept:,.0f}",
                f"{right / graded:.1%}" if graded else NOTHING,
                f"{judging[0]:,.0f}",
                f"{judging[1] + judging[2]:,.0f}",
                f"{judging[3]:,.2f}",
                f"{of_gate:,.0f}",
                f"{promoted:.1f} of {_most_rounds(of_arm)}",
                f"{minutes:.1f}",
            )
        )
    return Cells(headers, tuple(rows), frozenset({"arm", "promoted"}))


def _of_arm(results: Results, arm: str) -> list[list[Mapping[str, Any]]]:
    """The rounds of each run of an arm."""
    return [list(_rounds(run)) for run in results.of_arm(arm)]


def _rounds(run: Run) -> Iterator[Mapping[str, Any]]:
    return (report for report in reports(run) if report["round"] > 0)


def _mean(of_arm: Sequence[Sequence[Mapping[str, Any]]], figure: Any) -> float:
    """The mean over seeds of the sum over rounds."""
    sums = [sum(float(figure(report)) for report in rounds) for rounds in of_arm]
    return float(np.mean(sums)) if sums else 0.0


def _right(report: Mapping[str, Any]) -> float:
    accuracy = report["label_accuracy"]
    return accuracy["accuracy"] * accuracy["pairs"] if accuracy else 0.0


def _most_rounds(of_arm: Sequence[Sequence[Mapping[str, Any]]]) -> int:
    return max(map(len, of_arm), default=0)
