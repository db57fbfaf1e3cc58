"""Arms against each other: where each ended, what it adds to frozen and to the baseline, what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.benchmarks.collect import reports
from serm.benchmarks.protocol import Protocol
from serm.benchmarks.runner import Run
from serm.core.records import Interval
from serm.evals.bootstrap import detectable, seeds_interval
from serm.evals.tables import NOTHING, Cells, difference, points

EVOLVING = "evolving"
LEVEL, RESAMPLES = 0.95, 2_000


@dataclass(frozen=True)
class Results:
    """The collected table with the ways to look at it. `measure` is one of its NDCG columns."""

    protocol: Protocol
    table: pd.DataFrame
    runs: Sequence[Run]
    measure: str = "ndcg@4"

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Those that every arm has finished."""
        done = [set(group["seed"]) for _, group in self.table.groupby("arm")]
        return tuple(sorted(set.intersection(*done))) if done else ()

    @cached_property
    def arms(self) -> tuple[str, ...]:
        there = set(self.table["arm"])
        return tuple(arm for arm in self.protocol.arms if arm in there)

    @property
    def ours(self) -> str:
        """The arm whose pairs and judges a report shows: `ours`, or else the first."""
        return "ours" if "ours" in self.arms else self.arms[0]

    @cached_property
    def rounds(self) -> tuple[int, ...]:
        return tuple(sorted(self.table["round"].unique()))

    @cached_property
    def sets(self) -> tuple[str, ...]:
        return tuple(name for name in dict.fromkeys(self.table["set"]) if name != EVOLVING)

    @cached_property
    def _indexed(self) -> pd.DataFrame:
        keys = ["arm", "role", "set", "round", "seed"]
        return self.table.set_index(keys).sort_index()

    def values(self, arm: str, name: str, number: int, role: str = "champion") -> NDArray[np.float64]:
        """(seeds, queries) of one set after one round; the queries are in the order of their ids."""
        rows = pd.DataFrame(self._indexed.xs((arm, role, name, number), level=(0, 1, 2, 3)))
        frames = [rows.loc[[seed]].set_index("query_id")[self.measure].sort_index() for seed in self.seeds]
        index = frames[0].index
        return np.stack([frame.reindex(index).to_numpy(dtype=np.float64) for frame in frames])

    def queries(self, arm: str, name: str) -> list[str]:
        """The ids that the columns of `of` stand for, of a test."""
        rows = self.table[(self.table["arm"] == arm) & (self.table["set"] == name)]
        return sorted(rows["query_id"].unique())

    def evolving(self, arm: str, role: str = "champion") -> NDArray[np.float64]:
        """(seeds, queries) of all evolving sets together: each window before anything of it is used."""
        numbers = sorted(self.table.loc[self.table["set"] == EVOLVING, "round"].unique())
        return np.concatenate([self.values(arm, EVOLVING, number, role) for number in numbers], axis=1)

    def of(
        self, arm: str, name: str, number: int | None = None, role: str = "champion"
    ) -> NDArray[np.float64]:
        """A test after a round (the last by default), or `evolving`."""
        if name == EVOLVING and number is None:
            return self.evolving(arm, role)
        return self.values(arm, name, self.rounds[-1] if number is None else number, role)

    def gain(self, arm: str, name: str, over: str | None = None, number: int | None = None) -> Interval:
        """What the model in use adds to frozen, or to that of another arm; paired over queries and seeds."""
        other = self.of(arm, name, number, "frozen") if over is None else self.of(over, name, number)
        return seeds_interval(self.of(arm, name, number) - other, LEVEL, RESAMPLES, seed=0)

    def reach(self, name: str) -> float:
        """The smallest gain over the baseline that so many queries show: the median over the arms."""
        base = self.of(self.protocol.baseline, name)
        found = [
            detectable((self.of(arm, name) - base).mean(axis=0), LEVEL, one_sided=False)
            for arm in self.arms
            if arm != self.protocol.baseline
        ]
        return float(np.median(found)) if found else float("nan")


def last_round(results: Results) -> Cells:
    """Each arm after its last round: the level, what it adds to frozen, what it adds to the baseline."""
    names = (*results.sets, EVOLVING) if EVOLVING in set(results.table["set"]) else results.sets
    headers = (
        "arm",
        "set",
        "queries",
        results.measure.upper(),
        "over frozen",
        f"over {results.protocol.baseline}",
    )
    rows = []
    for arm in results.arms:
        for name in names:
            values = results.of(arm, name)
            same = arm == results.protocol.baseline
            rows.append(
                (
                    _marked(results.protocol, arm),
                    name,
                    str(int((~np.isnan(values).any(axis=0)).sum())),
                    points(float(np.nanmean(values))),
                    difference(results.gain(arm, name)),
                    NOTHING if same else difference(results.gain(arm, name, results.protocol.baseline)),
                )
            )
    rows += [("smallest change seen", name, "", "", "", points(results.reach(name))) for name in names]
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


def costs(results: Results) -> Cells:
    """What the arms took, a seed on average: pairs sent to the panel, labels, calls, tokens, money, time."""
    headers = (
        "arm",
        "pairs judged",
        "kept",
        "kept right",
        "judgments",
        "tokens",
        "cost",
        "promoted",
        "minutes",
    )
    rows = []
    for arm in results.arms:
        of_arm = [list(_rounds(run)) for run in results.runs if run.arm == arm and run.done]
        judged = _mean(of_arm, lambda report: report["counts"]["mined"])
        kept = _mean(of_arm, lambda report: report["counts"]["labelled"])
        right = _mean(of_arm, _right)
        judging = [
            _mean(of_arm, lambda report, key=key: report["counts"]["judging"][key])
            for key in ("judgments", "tokens_in", "tokens_out", "cost")
        ]
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
                f"{promoted:.1f} of {len(of_arm[0]) if of_arm else 0}",
                f"{minutes:.1f}",
            )
        )
    return Cells(headers, tuple(rows), frozenset({"arm", "promoted"}))


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
