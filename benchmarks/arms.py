"""The collected table of a protocol, with the ways to look at it: levels, changes and slices of arms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import pandas as pd

from serm.benchmarks.collect import NDCG
from serm.benchmarks.finished import Finished
from serm.benchmarks.query_facts import query_facts
from serm.core.records import Interval
from serm.core.settings_data import EVOLVING
from serm.evals.bootstrap import Floats
from serm.evals.evaluate import SUMS
from serm.evals.seeds import measure_interval, nested_interval, seeds_interval

LEVEL, RESAMPLES = 0.95, 2_000
CHAMPION, FROZEN, UNTRAINED = "champion", "frozen", "untrained"
_PLACE = ["arm", "role", "set", "round", "seed"]
NO_VALUES = pd.Series(dtype=np.float64, index=pd.Index([], dtype="str"))

Slice = Mapping[int, pd.Index]
"""By seed the ids of the queries that count."""


@dataclass(frozen=True, slots=True)
class Model:
    """What an arm has in use (`champion`), or what it began with (`frozen`, `untrained`)."""

    arm: str
    role: str = CHAMPION


@dataclass(frozen=True)
class Results(Finished):
    """`measure` is one of the table's NDCG columns.

    Values are (seeds, queries). Under one config the queries are the same for every seed; a marketplace has
    others in each, and rows are then filled up with NaN and are no pairs of each other. Seeds without a value
    are rows of NaN.
    """

    measure: str = "ndcg@4"

    @cached_property
    def _changes(self) -> dict[tuple[Model, Model, str, int | None], Interval]:
        """Over all queries, as they are asked for: several tables show them."""
        return {}

    @cached_property
    def _values(self) -> dict[tuple[object, ...], pd.Series[float]]:
        """By arm, role, set, round and seed the values of queries, by their ids. Of a window an arm may have
        measured fewer than another (`gate.judged_share` keeps some of it back): its own values are of these,
        and what it has more than another of those that both have measured."""
        keys = [*_PLACE, "query_id"]
        values = self.carried.groupby(keys, sort=True)[self.measure].mean()  # folds may share stream queries
        return {
            place: rows.set_index("query_id")[self.measure]
            for place, rows in values.reset_index().groupby(_PLACE, sort=False)
        }

    def _series(
        self, model: Model, name: str, number: int | None, seeds: Sequence[int]
    ) -> list[pd.Series[float]]:
        """By seed the values of queries, by their ids; without a number those after the last round. Of
        `evolving` that is all windows together, and a query that comes in several is one, with its mean."""
        if name == EVOLVING and number is None:
            windows = [self._series(model, name, window, seeds) for window in self.evolving_rounds]
            together = [pd.concat(parts) for parts in zip(*windows, strict=True)] or [NO_VALUES] * len(seeds)
            return [item.groupby(level=0, sort=True).mean() for item in together]
        last = self.rounds[-1] if number is None and self.rounds else number
        return [self._values.get((model.arm, model.role, name, last, seed), NO_VALUES) for seed in seeds]

    def stacked(self, series: Sequence[pd.Series[float]]) -> Floats:
        """(seeds, queries) of each seed's values by query."""
        if not series:
            return np.empty((0, 0))
        if self.same_queries:
            together = pd.concat(series, axis=1).sort_index()
            return np.asarray(together.to_numpy(dtype=np.float64).T)
        longest = max(map(len, series))
        return np.stack([_filled(item, longest) for item in series])

    def of(
        self,
        arm: str,
        name: str,
        number: int | None = None,
        role: str = CHAMPION,
        only: Slice | None = None,
    ) -> Floats:
        """(seeds, queries) of a test after a round (the last by default); of `evolving` without a number each
        window before anything of it is used. The queries are in the order of their ids."""
        seeds = self.seeds_of(arm)
        return self.stacked(_only(self._series(Model(arm, role), name, number, seeds), seeds, only))

    def interval(self, values: Floats) -> Interval:
        """The mean of (seeds, queries) values, drawn over both."""
        if self.same_queries:
            return seeds_interval(values, LEVEL, RESAMPLES, seed=0)
        return nested_interval(list(values), LEVEL, RESAMPLES, seed=0)

    def measured(self, groups: Sequence[Sequence[Floats]], measure: Callable[..., Floats]) -> Interval:
        """A figure made of several means of (seeds, queries) values: see `measure_interval`."""
        rows = [[list(array) for array in group] for group in groups]
        return measure_interval(rows, measure, LEVEL, RESAMPLES, seed=0, common=self.same_queries)

    def change(
        self,
        model: Model,
        other: Model,
        name: str,
        number: int | None = None,
        only: Slice | None = None,
    ) -> Interval:
        """What a model has more than another, paired over the queries and seeds that both have."""
        key = (model, other, name, number)
        if only is None and key in self._changes:
            return self._changes[key]
        seeds = self.seeds_of(model.arm, None if model.arm == other.arm else other.arm)
        sides = [_only(self._series(side, name, number, seeds), seeds, only) for side in (model, other)]
        found = self.interval(self.stacked([one - two for one, two in zip(*sides, strict=True)]))
        if only is None:
            self._changes[key] = found
        return found

    def gain(
        self,
        arm: str,
        name: str,
        over: str | None = None,
        number: int | None = None,
        only: Slice | None = None,
    ) -> Interval:
        """What the model in use adds to frozen, or to that of another arm."""
        other = Model(arm, FROZEN) if over is None else Model(over)
        return self.change(Model(arm), other, name, number, only)

    @cached_property
    def _columns(self) -> list[str]:
        """What `last_tables` hold: of an earlier version's table as much as it has."""
        return [name for name in (*NDCG, *SUMS) if name in self.carried]

    @cached_property
    def _last(self) -> dict[tuple[object, ...], pd.DataFrame]:
        """By arm, role, set and seed all measures by query, on tests after the last round."""
        table = self.carried
        table = table[(table["round"] == self.rounds[-1]) & table["set"].isin(self.sets)]
        keys = ["arm", "role", "set", "seed", "query_id"]
        rows = table.groupby(keys, sort=True)[self._columns].mean().reset_index()
        return {tuple(place): of for place, of in rows.set_index("query_id").groupby(keys[:-1], sort=False)}

    def last_tables(self, model: Model, name: str, seeds: Sequence[int] | None = None) -> list[pd.DataFrame]:
        """By seed what was measured on a test after the last round: a row a query, NDCG and the sums of the
        grade measures; no row under a seed that measured nothing there, as of another arm's test. The queries
        are those of `of`, and under one config the same for every seed."""
        seeds = self.seeds_of(model.arm) if seeds is None else seeds
        ids = [series.index for series in self._series(model, name, None, seeds)]
        if self.same_queries and ids:
            ids = [reduce(lambda one, two: one.intersection(two, sort=True), ids)] * len(ids)
        nothing = pd.DataFrame(columns=self._columns, index=NO_VALUES.index, dtype=np.float64)
        places = [(model.arm, model.role, name, seed) for seed in seeds]
        tables = [self._last.get(place, nothing) for place in places]
        return [table.reindex(index) for table, index in zip(tables, ids, strict=True)]

    def same(self, one: Model, other: Model) -> bool:
        """Two models have the same values on every test, as far as both were measured."""
        seeds = self.seeds_of(one.arm, other.arm)
        return all(
            np.allclose((first - second).dropna(), 0)
            for name in self.sets
            for first, second in zip(
                *(self._series(side, name, None, seeds) for side in (one, other)), strict=True
            )
        )

    def queries(self, values: Floats) -> int:
        """Of (seeds, queries): how many are measured, on average a seed."""
        measured = ~np.isnan(values)
        if not measured.size:
            return 0
        return int(measured.all(axis=0).sum()) if self.same_queries else round(measured.sum(axis=1).mean())

    # -- slices

    @cached_property
    def facts(self) -> pd.DataFrame:
        """`language` and `stratum` of the queries of each test, by set, seed and query_id."""
        return query_facts({(run.seed, run.fold): run for run in reversed(self.compared)}.values())

    def slices(self, name: str, column: str) -> dict[str, Slice]:
        """Of a test by the values of a fact: the queries that have it. Empty values are left out."""
        facts = self.facts[column]
        told = facts[facts.index.get_level_values("set") == name]
        values = sorted(str(value) for value in told.unique() if value)
        return {value: _by_seed(told[told == value]) for value in values}

    @property
    def same_queries(self) -> bool:
        return self.protocol.marketplace is None


def _by_seed(facts: pd.Series[str]) -> Slice:
    found = facts.index.to_frame(index=False).groupby("seed")["query_id"]
    return {int(str(seed)): pd.Index(ids) for seed, ids in found}


def _only(
    series: Sequence[pd.Series[float]], seeds: Sequence[int], only: Slice | None
) -> list[pd.Series[float]]:
    """The values of queries that do not count as NaN."""
    if only is None:
        return list(series)
    none = pd.Index([])
    pairs = zip(series, seeds, strict=True)
    return [values.where(values.index.isin(only.get(seed, none))) for values, seed in pairs]


def _filled(values: pd.Series[float], length: int) -> Floats:
    found = np.full(length, np.nan)
    found[: len(values)] = values.to_numpy(dtype=np.float64)
    return found
