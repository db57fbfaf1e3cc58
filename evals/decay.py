"""Has a model's ranking become worse on what is asked now? Intervals, with human grades or without any.

Without grades the model's own calibrated distributions say what NDCG it expects of itself: right as far as
its calibration holds on the new queries, which drift may break. With grades of some queries those are the
truth, and the expectation only makes the interval narrower (prediction-powered inference): it need not hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
    is 0: then the mean is what the model expects of itself."""

    interval: Interval
    graded: int


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


def measured_mean(human: ArrayLike, expected: ArrayLike, others: ArrayLike, level: float) -> Measured:
    """The mean over the queries of a set that have two grades. `human` and `expected` (n,): NDCG by human
    grades, NaN where people gave one grade alone, and the model's expectation, of the graded queries;
    `others` (m,): its expectation of those that are not graded."""
    measured = int((~np.isnan(np.asarray(human, dtype=np.float64))).sum())
    if measured >= 2:
        return Measured(prediction_powered(human, expected, others, level).interval, measured)
    values = np.asarray(others, dtype=np.float64)
    values = values[~np.isnan(values)]
    return Measured(
        _interval(float(values.mean()) if len(values) else math.nan, _error(values), len(values), level), 0
    )


def compare(now: Measured, before: Measured, *, margin: float, level: float) -> Change:
    """The change between two sets of different queries, and what can be said of it: `decayed` where it is
    surely below 0, `holds` where it is surely above minus `margin`, else `cannot tell`."""
    mean = now.interval.mean - before.interval.mean
    errors = [_error_of(side.interval) for side in (now, before)]
    n = min(now.interval.n, before.interval.n)
    change = _interval(mean, math.hypot(*errors), n, level)
    verdict: Verdict = "cannot tell"
    if change.high < 0:
        verdict = "decayed"
    elif change.low > -margin:
        verdict = "holds"
    return Change(now, before, change, verdict)


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
