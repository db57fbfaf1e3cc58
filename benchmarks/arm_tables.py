"""Arms against each other: where each ended, what it adds to frozen and to the baseline, what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from serm.benchmarks.arms import Results
from serm.benchmarks.collect import reports
from serm.benchmarks.protocol import Protocol
from serm.benchmarks.runner import Run
from serm.core.records import Interval
from serm.core.settings_data import EVOLVING
from serm.evals.tables import NOTHING, Cells, difference, points
from serm.tools.strata import STRATA


def last_round(results: Results) -> Cells:
    """Each arm after its last round: its level, its gain on frozen and on the baseline, and ours over it."""
    names = (*results.sets, EVOLVING) if EVOLVING in set(results.table["set"]) else results.sets
    headers = (
        "arm",
        "set",
        "queries",
        results.measure.upper(),
        "over frozen",
        f"over {results.baseline}",
        f"{results.ours} over it",
    )
    baseline = results.baseline
    rows = []
    for arm in results.arms:
        for name in names:
            values = results.of(arm, name)
            rows.append(
                (
                    _marked(results.protocol, arm),
                    name,
                    str(results.queries(values)),
                    points(float(np.nanmean(values))),
                    difference(results.gain(arm, name)),
                    NOTHING if arm == baseline else difference(results.gain(arm, name, baseline)),
                    NOTHING if arm == results.ours else difference(results.gain(results.ours, name, arm)),
                )
            )
    rows += [("smallest change seen", name, "", "", "", points(results.reach(name)), "") for name in names]
    return Cells(headers, tuple(rows), frozenset({"arm", "set", *headers[4:]}))


def by_round(results: Results) -> Cells:
    """What every round added to frozen, test by test: own rounds and what later ones took back."""
    headers = ("arm", "round", "window", *results.sets)
    rows = []
    for arm in results.arms:
        windows = _windows(results, arm)
        for number in results.rounds[1:]:
            cells = (difference(results.gain(arm, name, number=number)) for name in results.sets)
            rows.append((arm, str(number), windows.get(number, ""), *cells))
    return Cells(headers, tuple(rows), frozenset({"arm", "window", *results.sets}))


def by_slice(results: Results, column: str) -> Cells:
    """What each arm adds to frozen after the last round, by `language` or by `stratum` (how often a query is
    asked), on each test; the number of queries in brackets. Empty where a test has not several."""
    masks = {name: results.slices(name, column) for name in results.sets}
    masks = {name: found for name, found in masks.items() if len(found) > 1}
    values = list(dict.fromkeys(value for found in masks.values() for value in found))
    if not masks:
        return Cells((), ())
    order = [name for name in STRATA if name in values] if column == "stratum" else values
    headers = ("arm", "set", *order)
    rows = []
    for arm in results.arms:
        for name, found in masks.items():
            cells = (_slice(results, arm, name, found.get(value)) for value in order)
            rows.append((_marked(results.protocol, arm), name, *cells))
    return Cells(headers, tuple(rows), frozenset(headers))


def per_thousand(results: Results) -> Cells:
    """What each arm adds to frozen after the last round for every 1,000 pairs that were sent to the panel."""
    names = (*results.sets, EVOLVING) if EVOLVING in set(results.table["set"]) else results.sets
    headers = ("arm", "pairs judged", *names)
    rows = []
    for arm in results.arms:
        judged = _mean(_of_arm(results, arm), lambda report: report["counts"]["mined"])
        gains = (results.gain(arm, name) for name in names)
        cells = (difference(_scaled(gain, 1_000 / judged)) if judged else NOTHING for gain in gains)
        rows.append((_marked(results.protocol, arm), f"{judged:,.0f}", *cells))
    return Cells(headers, tuple(rows), frozenset({"arm", *names}))


def _slice(results: Results, arm: str, name: str, only: Any) -> str:
    if only is None:
        return NOTHING
    return f"{difference(results.gain(arm, name, only=only))} ({int(only.sum(axis=1).mean())})"


def _scaled(interval: Interval, factor: float) -> Interval:
    return Interval(
        interval.mean * factor, interval.low * factor, interval.high * factor, interval.n, interval.level
    )


def costs(results: Results) -> Cells:
    """What the arms took, a seed (and fold) on average: pairs sent to the panel, labels, calls, tokens,
    money, time. What the gate had judged for itself stands apart."""
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
    for arm in results.arms:
        of_arm = _of_arm(results, arm)
        judged = _mean(of_arm, lambda report: report["counts"]["mined"])
        kept = _mean(of_arm, lambda report: report["counts"]["labelled"])
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
                _marked(results.protocol, arm),
                f"{judged:,.0f}",
                f"{kept:,.0f}",
                f"{right / kept:.1%}" if kept else NOTHING,
                f"{judging[0]:,.0f}",
                f"{judging[1] + judging[2]:,.0f}",
                f"{judging[3]:,.2f}",
                f"{of_gate:,.0f}",
                f"{promoted:.1f} of {len(of_arm[0]) if of_arm else 0}",
                f"{minutes:.1f}",
            )
        )
    return Cells(headers, tuple(rows), frozenset({"arm", "promoted"}))


def _of_arm(results: Results, arm: str) -> list[list[Mapping[str, Any]]]:
    """The rounds of each run of an arm."""
    return [list(_rounds(run)) for run in results.done if run.arm == arm]


def _rounds(run: Run) -> Iterator[Mapping[str, Any]]:
    return (report for report in reports(run) if report["round"] > 0)


def _mean(of_arm: Sequence[Sequence[Mapping[str, Any]]], figure: Any) -> float:
    """The mean over seeds of the sum over rounds."""
    sums = [sum(float(figure(report)) for report in rounds) for rounds in of_arm]
    return float(np.mean(sums)) if sums else 0.0


def _right(report: Mapping[str, Any]) -> float:
    accuracy = report["label_accuracy"]
    return accuracy["accuracy"] * accuracy["pairs"] if accuracy else 0.0


def _windows(results: Results, arm: str) -> dict[int, str]:
    rows = results.table[results.table["arm"] == arm]
    return {int(number): str(name) for number, name in zip(rows["round"], rows["window"], strict=True)}


def _marked(protocol: Protocol, arm: str) -> str:
    return arm if protocol.arms[arm].matched else f"{arm} (not cost-matched)"
