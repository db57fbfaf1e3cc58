"""Has a model's ranking become worse on what is asked now? Intervals, with human grades or without any.

Without grades the model's own calibrated distributions say what NDCG it expects of itself: right as far as
its calibration holds on the new queries, which drift may break. With grades of some queries those are the
truth, and the expectation only makes the interval narrower (prediction-powered inference): it need not hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from serm.core.records import Interval
from serm.evals.prediction_powered import prediction_powered
from serm.relevance_model.base import Scores

Floats = NDArray[np.float64]
Verdict = Literal["decayed", "holds", "cannot tell"]

CUTOFF: Final = 4
DRAWS: Final = 32
"""Of the grades of every pair; chosen: their spread is far below that of queries."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Mean NDCG@4 over queries. `n` of the interval counts queries with human grades, or all where `graded`
    is 0: then the mean is what the model expects of itself.

    `pulls`: by how much each query, by its name, pulls the mean away from what it would be without it; its
    squares sum up to the mean's variance. Empty where the mean is no plain one."""

    interval: Interval
    graded: int
    pulls: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """Now against before, two sets of queries."""

    now: Measured
    before: Measured
    change: Interval
    verdict: Verdict

    @property
    def measured(self) -> bool:
        """By human grades on both sides; else the model's own expectation."""
        return self.now.graded > 0 and self.before.graded > 0


def expected_ndcg(query_index: NDArray[np.int64], scores: Scores, *, seed: int, draws: int = DRAWS) -> Floats:
    """NDCG@4 that a model expects of its own ranking, a query a row; NaN where a query has one pair.

    The mean over `draws` of the grades of all n pairs from their distributions, independent of each other;
    draws in which a query's pairs all have one grade do not count, as in the measure itself. Ties of the
    score are broken by row. `query_index` (n,) from 0 without gaps.
    """
    rng = np.random.default_rng(seed)
    n, queries = len(query_index), int(query_index.max()) + 1 if len(query_index) else 0
    order = np.lexsort((-scores.expected, query_index))
    code = query_index[order]
    start = np.searchsorted(code, np.arange(queries))
    rank = np.arange(n) - start[code]
    weight = np.where(rank < CUTOFF, 1 / np.log2(rank + 2), 0.0)
    ladder = np.cumsum(scores.probabilities[order].astype(np.float64), axis=1)[:, :3]
    total, counted = np.zeros(queries), np.zeros(queries)
    for _ in range(draws):
        grades = (rng.random(n)[:, None] > ladder).sum(axis=1)
        gains = 2.0**grades - 1
        ideal = np.bincount(code, weight * gains[np.lexsort((-gains, code))], minlength=queries)
        value = np.bincount(code, weight * gains, minlength=queries) / np.maximum(ideal, 1e-12)
        high, low = np.full(queries, -1), np.full(queries, 9)
        np.maximum.at(high, code, grades)
        np.minimum.at(low, code, grades)
        total += np.where(high > low, value, 0.0)
        counted += high > low
    result = np.full(queries, np.nan)
    np.divide(total, counted, out=result, where=counted > 0)
    return result


def measured_mean(
    human: ArrayLike, expected: ArrayLike, others: ArrayLike, level: float, *, names: Iterable[str] = ()
) -> Measured:
    """The mean over the queries of a set that have two grades. `human` and `expected` (n,): NDCG by human
    grades, NaN where people gave one grade alone, and the model's expectation, of the graded queries, which
    are called `names`; `others` (m,): its expectation of those that are not graded."""
    values = np.asarray(human, dtype=np.float64)
    measured = int((~np.isnan(values)).sum())
    if measured < 2:
        return expected_mean(others, level)
    found = prediction_powered(values, expected, others, level)
    pulls = {} if found.weight else _pulls(values, names)
    return Measured(found.interval, measured, pulls)


def expected_mean(expected: ArrayLike, level: float, *, names: Iterable[str] = ()) -> Measured:
    """The mean of what a model expects of its ranking of (m,) queries; NaN: it expects nothing of one."""
    every = np.asarray(expected, dtype=np.float64)
    values = every[~np.isnan(every)]
    mean = float(values.mean()) if len(values) else math.nan
    return Measured(_interval(mean, _error(values), len(values), level), 0, _pulls(every, names))


def compare(now: Measured, before: Measured, *, margin: float, level: float) -> Change:
    """The change between two sets of queries, and what can be said of it: `decayed` where it is surely below
    0, `holds` where it is surely above minus `margin`, else `cannot tell`. A query that is in both sets is
    compared with itself."""
    mean = now.interval.mean - before.interval.mean
    variance = sum(_error_of(side.interval) ** 2 for side in (now, before))
    together = sum(pull * before.pulls.get(name, 0.0) for name, pull in now.pulls.items())
    n = min(now.interval.n, before.interval.n)
    change = _interval(mean, math.sqrt(max(0.0, variance - 2 * together)), n, level)
    verdict: Verdict = "cannot tell"
    if change.high < 0:
        verdict = "decayed"
    elif change.low > -margin:
        verdict = "holds"
    return Change(now, before, change, verdict)


def _pulls(values: Floats, names: Iterable[str]) -> dict[str, float]:
    """A name may stand for several queries: their pulls go together."""
    there = ~np.isnan(values)
    n = int(there.sum())
    pulls: dict[str, float] = {}
    if n > 1:
        scaled = (values - values[there].mean()) / math.sqrt(n * (n - 1))
        for name, pull, known in zip(names, scaled.tolist(), there.tolist(), strict=False):
            if known:
                pulls[name] = pulls.get(name, 0.0) + pull
    return pulls


def _interval(mean: float, error: float, n: int, level: float) -> Interval:
    if n < 2:
        return Interval(mean, math.nan, math.nan, n, level)
    reach = float(stdtrit(n - 1, (1 + level) / 2)) * error
    return Interval(mean, mean - reach, mean + reach, n, level)


def _error(values: Floats) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def _error_of(interval: Interval) -> float:
    """The standard error behind a two-sided interval by Student's t."""
    if interval.n < 2:
        return math.nan
    return (interval.high - interval.low) / 2 / float(stdtrit(interval.n - 1, (1 + interval.level) / 2))
