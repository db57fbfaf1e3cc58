"""The collected table of a protocol, with the ways to look at it: levels, gains and slices of arms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.benchmarks.protocol import Protocol
from serm.benchmarks.query_facts import query_facts
from serm.benchmarks.runner import Run
from serm.core.records import Interval
from serm.core.settings_data import EVOLVING
from serm.evals.bootstrap import Floats
from serm.evals.seeds import measure_interval, nested_interval, seeds_interval, smallest_seen

LEVEL, RESAMPLES = 0.95, 2_000

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Results:
    """`measure` is one of the table's NDCG columns.

    Values are (seeds, queries). Under one config the queries are the same for every seed; a marketplace has
    others in each, and rows are then filled up with NaN and are no pairs of each other.
    """

    protocol: Protocol
    table: pd.DataFrame
    runs: Sequence[Run]
    measure: str = "ndcg@4"

    @cached_property
    def done(self) -> tuple[Run, ...]:
        """Those that are in the table: another may have ended since."""
        there = set(self.table[["arm", "seed", "fold"]].itertuples(index=False, name=None))
        return tuple(run for run in self.runs if (run.arm, run.seed, run.fold) in there)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Those that every arm has finished, in every fold."""
        finished = {(run.arm, run.seed, run.fold) for run in self.done}
        return tuple(
            seed
            for seed in sorted({run.seed for run in self.done})
            if all((arm, seed, fold) in finished for arm in self.arms for fold in self.protocol.folds)
        )

    @cached_property
    def arms(self) -> tuple[str, ...]:
        there = {run.arm for run in self.done}
        return tuple(arm for arm in self.protocol.arms if arm in there)

    @property
    def notes(self) -> list[tuple[str, str]]:
        """What the protocol says of the arms that were run."""
        stated = ((name, self.protocol.arms[name].note) for name in self.arms)
        return [(name, note) for name, note in stated if note]

    @property
    def ours(self) -> str:
        """The arm whose pairs and judges a report shows: `ours`, or else the first."""
        return "ours" if "ours" in self.arms else self.arms[0]

    @property
    def baseline(self) -> str:
        """The protocol's, or where that was not run the first arm that was."""
        return self.protocol.baseline if self.protocol.baseline in self.arms else self.arms[0]

    @property
    def own(self) -> tuple[Run, ...]:
        """Its runs."""
        return tuple(run for run in self.done if run.arm == self.ours)

    @cached_property
    def rounds(self) -> tuple[int, ...]:
        return tuple(sorted(int(number) for number in self.table["round"].unique()))

    @cached_property
    def sets(self) -> tuple[str, ...]:
        return tuple(name for name in dict.fromkeys(self.table["set"]) if name != EVOLVING)

    @cached_property
    def evolving_rounds(self) -> tuple[int, ...]:
        """Rounds after which a next window was measured."""
        numbers = self.table.loc[self.table["set"] == EVOLVING, "round"].unique()
        return tuple(sorted(int(number) for number in numbers))

    @cached_property
    def _gains(self) -> dict[tuple[str, str, str | None, int | None], Interval]:
        """Over all queries, as they are asked for: several tables show them."""
        return {}

    @cached_property
    def _indexed(self) -> pd.DataFrame:
        """By arm, role, set, round, seed and query; of queries that one arm measures and another does not
        (`gate.judged_share` keeps some of a window back), those of all arms."""
        keys = ["arm", "role", "set", "round", "seed", "query_id"]
        table = self.table.groupby(keys, sort=True)[[self.measure]].mean()  # folds may share stream queries
        measured_by = table.groupby(level=keys[1:])[self.measure].transform("size")
        return table[measured_by == len(self.arms)]

    def _series(self, arm: str, name: str, number: int, role: str) -> list[pd.Series[float]]:
        """By seed the values of queries, by their ids."""
        rows = pd.DataFrame(self._indexed.xs((arm, role, name, number), level=(0, 1, 2, 3)))
        return [rows.xs(seed, level=0)[self.measure] for seed in self.seeds]

    def values(self, arm: str, name: str, number: int, role: str = "champion") -> Floats:
        """(seeds, queries) of one set after one round; the queries are in the order of their ids."""
        return self._stacked(self._series(arm, name, number, role))

    def _stacked(self, series: Sequence[pd.Series[float]]) -> Floats:
        if self._same_queries:
            index = series[0].index
            return np.stack([item.reindex(index).to_numpy(dtype=np.float64) for item in series])
        longest = max(map(len, series))
        return np.stack([_filled(item, longest) for item in series])

    def evolving(self, arm: str, role: str = "champion") -> Floats:
        """(seeds, queries) of all evolving sets together: each window before anything of it is used.

        A query that comes in several windows is one query, with the mean of its values."""
        windows = [self._series(arm, EVOLVING, number, role) for number in self.evolving_rounds]
        together = (pd.concat(of_seed) for of_seed in zip(*windows, strict=True))
        return self._stacked([item.groupby(level=0, sort=True).mean() for item in together])

    def of(self, arm: str, name: str, number: int | None = None, role: str = "champion") -> Floats:
        """A test after a round (the last by default), or `evolving`."""
        if name == EVOLVING and number is None:
            return self.evolving(arm, role)
        return self.values(arm, name, self.rounds[-1] if number is None else number, role)

    def interval(self, values: Floats, resamples: int = RESAMPLES) -> Interval:
        """The mean of (seeds, queries) values, drawn over both."""
        if self._same_queries:
            return seeds_interval(values, LEVEL, resamples, seed=0)
        return nested_interval(list(values), LEVEL, resamples, seed=0)

    def measured(self, groups: Sequence[Sequence[Floats]], measure: Callable[..., Floats]) -> Interval:
        """A figure made of several means of (seeds, queries) values: see `measure_interval`."""
        rows = [[list(array) for array in group] for group in groups]
        return measure_interval(rows, measure, LEVEL, RESAMPLES, seed=0, common=self._same_queries)

    def gain(
        self,
        arm: str,
        name: str,
        over: str | None = None,
        number: int | None = None,
        only: Mask | None = None,
    ) -> Interval:
        """What the model in use adds to frozen, or to that of another arm; paired over queries and seeds.
        `only` (seeds, queries): the queries that count."""
        key = (arm, name, over, number)
        if only is None and key in self._gains:
            return self._gains[key]
        other = self.of(arm, name, number, "frozen") if over is None else self.of(over, name, number)
        change = self.of(arm, name, number) - other
        found = self.interval(change if only is None else np.where(only, change, np.nan))
        if only is None:
            self._gains[key] = found
        return found

    def reach(self, name: str) -> float:
        """The smallest gain over the baseline that so many queries and seeds show: the median of the arms."""
        others = [arm for arm in self.arms if arm != self.baseline]
        found = [smallest_seen(self.gain(arm, name, over=self.baseline)) for arm in others]
        return float(np.median(found)) if found else float("nan")

    def queries(self, values: Floats) -> int:
        """How many queries (seeds, queries) values are the mean of, a seed."""
        measured = ~np.isnan(values)
        return int(measured.all(axis=0).sum()) if self._same_queries else round(measured.sum(axis=1).mean())

    # -- slices

    @cached_property
    def facts(self) -> pd.DataFrame:
        """`language` and `stratum` of the queries of each test, by set, seed and query_id."""
        return query_facts(self.own)

    def slices(self, name: str, column: str) -> dict[str, Mask]:
        """Of a test by the values of a fact: which of (seeds, queries) have it. Empty values are left out."""
        number = self.rounds[-1]
        ids = [list(item.index) for item in self._series(self.ours, name, number, "frozen")]
        longest = max(map(len, ids))
        known = self.facts[column]
        told = [
            [str(known.get((name, seed, query), "")) for query in (ids[0] if self._same_queries else row)]
            for seed, row in zip(self.seeds, ids, strict=True)
        ]
        grid = np.array([[*row, *[""] * (longest - len(row))] for row in told])
        return {str(value): grid == value for value in np.unique(grid) if value}

    @property
    def _same_queries(self) -> bool:
        return self.protocol.marketplace is None


def _filled(values: pd.Series[float], length: int) -> Floats:
    found = np.full(length, np.nan)
    found[: len(values)] = values.to_numpy(dtype=np.float64)
    return found
