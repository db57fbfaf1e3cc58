"""Intervals over random seeds and queries: the bootstrap draws queries, and what seeds add stretches it.

A handful of seeds cannot be drawn from: of three, a sample with replacement holds a seed twice more often
than not, and counts the spread of its queries twice. So each sample draws queries with the seeds held, and
the spread of the seeds' own values, as far as it is more than their queries account for, is a random effect:
the interval is as much wider as the standard error is with it, times Student's t with the degrees of freedom
that are left (Satterthwaite 1946). Where seeds differ by no more than their queries do, nothing is added but
what few queries take (`bootstrap.stretch`). Where seeds pull queries in opposite directions, as gates that
promote the same change under one seed and not under another, their mean says less of the queries than there is:
the part that queries have in it is then at least what makes seeds differ.

tests/evals/test_seeds.py simulates it: where seeds add nothing, a 95% interval holds the true mean 92 to 99
times of a hundred; where three or five seeds add as much as their queries do, or more, 90 times at least, and
two seeds 80 times at least: with so few what they add is often not seen at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, t

from serm.core.records import Interval
from serm.evals.bootstrap import (
    POWER,
    Floats,
    drawn_counts,
    drawn_rows,
    mean_interval,
    measured,
    stretch,
    stretched,
    tails,
)

_STEP: Final = 1e-4  # of NDCG, for the slope of a measure
_TINY: Final = 1e-18  # variance of NDCG: less is rounding


def seeds_interval(values: ArrayLike, level: float, resamples: int, seed: int) -> Interval:
    """The mean of (s, q) values, a row a random seed and a column a query, the same ones under all seeds.

    Queries with a NaN under any seed are left out. With one seed it is `mean_interval` over the queries.
    """
    table = np.asarray(values, dtype=np.float64)
    kept = table[:, ~np.isnan(table).any(axis=0)]
    count, n = kept.shape
    if count < 2 or n < 2:
        return mean_interval(kept.mean(axis=0) if count else kept.ravel(), level, resamples, seed)
    return measure_interval([[list(kept)]], _itself, level, resamples, seed, common=True)


def nested_interval(rows: Sequence[ArrayLike], level: float, resamples: int, seed: int) -> Interval:
    """The mean over random seeds of the mean over each seed's own queries (another simulation each time).

    `rows` holds the (n_i,) values of each seed; NaN are left out. `n` counts the queries of all seeds
    together. With one seed it is `mean_interval`; where one of several has a single query the bounds are NaN.
    """
    kept = [measured(np.asarray(row, dtype=np.float64)) for row in rows]
    kept = [row for row in kept if len(row)]
    if len(kept) < 2:
        return mean_interval(kept[0] if kept else [], level, resamples, seed)
    return measure_interval([[kept]], _itself, level, resamples, seed, common=False)


def measure_interval(
    groups: Sequence[Sequence[Sequence[Floats]]],
    measure: Callable[..., Floats],
    level: float,
    resamples: int,
    seed: int,
    *,
    common: bool,
) -> Interval:
    """An interval of a figure made of several means, such as the ratio of two of them.

    groups: lists of arrays, each the (n_i,) values of every seed. Within a group the queries are the same
    ones and drawn together (paired); a query with a NaN in one array counts in none.
    measure: the (b,) mean over seeds of each array, in order -> (b,) figures; NaN where it is not defined.
    common: all seeds have the same queries, in the same order, and draw the same ones.

    A seed that measured no query of some group is left out of all; without any seed everything is NaN. Where
    a seed has one query alone there is no interval, and the bounds are NaN.
    What seeds add is that to the measure's linear part at the means (the delta method).
    """
    kept = _with_queries([_kept(group, common) for group in groups])
    if not kept:
        return Interval(math.nan, math.nan, math.nan, 0, level)
    sides = [
        side for number, group in enumerate(kept) for side in _sides(group, common, resamples, seed + number)
    ]
    point = float(measure(*(np.array([side.means.mean()]) for side in sides))[0])
    if min(table.shape[1] for group in kept for table in group) < 2:
        return Interval(point, math.nan, math.nan, sides[0].n, level)
    drawn = measure(*(side.drawn.mean(axis=0) for side in sides))
    slopes = _slopes(measure, [float(side.means.mean()) for side in sides])
    low, high = _with_seeds(
        point,
        drawn,
        np.stack([slope * side.means for slope, side in zip(slopes, sides, strict=True)]).sum(axis=0),
        np.stack([slope * side.drawn for slope, side in zip(slopes, sides, strict=True)]).sum(axis=0),
        level=level,
        sizes=min((_sizes([table.shape[1] for table in group], common) for group in kept), key=sum),
    )
    return Interval(point, low, high, sides[0].n, level)


def statistics_intervals(
    statistics: Sequence[Callable[[Floats], Floats]],
    sizes: Sequence[int],
    level: float,
    resamples: int,
    seed: int,
    *,
    common: bool,
) -> list[Interval]:
    """The means over seeds of measures that are no means over queries (kappa), all from the same draws.

    statistics: of each seed, (b, n) counts, how often each of its n queries was drawn -> (b, m) measures.
    sizes: the queries of each seed. Without a query there is no measure, and the list is empty; where a seed
    has one query alone, the bounds are NaN. A sample in which a measure is not defined does not count for it.
    """
    some = [(statistic, n) for statistic, n in zip(statistics, sizes, strict=True) if n]
    if not some:
        return []
    means = np.stack([statistic(np.ones((1, n)))[0] for statistic, n in some])  # (s, m)
    n = some[0][1] if common else sum(size for _, size in some)
    if min(size for _, size in some) < 2:
        return [Interval(float(mean), math.nan, math.nan, n, level) for mean in means.mean(axis=0)]
    drawn = np.stack(  # (s, b, m)
        [
            np.concatenate(
                [statistic(drawn_counts(rows, size)) for rows in drawn_rows(size, resamples, source)]
            )
            for source, (statistic, size) in zip(_sources(seed, len(some), common), some, strict=True)
        ]
    )
    drawn_of = _sizes([size for _, size in some], common)
    return [
        _of_statistic(means[:, place], drawn[:, :, place], n, level, drawn_of)
        for place in range(means.shape[1])
    ]


def _of_statistic(means: Floats, drawn: Floats, n: int, level: float, sizes: Sequence[int]) -> Interval:
    """(s,) measures and (s, b) those of samples."""
    kept = drawn[:, ~np.isnan(drawn).any(axis=0)]
    point = float(means.mean())
    if math.isnan(point) or not kept.size:
        return Interval(point, math.nan, math.nan, n, level)
    low, high = _with_seeds(point, kept.mean(axis=0), means, kept, level=level, sizes=sizes)
    return Interval(point, low, high, n, level)


def _sizes(sizes: Sequence[int], common: bool) -> Sequence[int]:
    """The queries of each draw: one for all seeds where they share them."""
    return sizes[:1] if common else sizes


def _sources(seed: int, count: int, common: bool) -> list[int]:
    """What each random seed's queries are drawn by: the same for all that share them."""
    return [seed if common else seed + 1_000 * (row + 1) for row in range(count)]


def smallest_seen(interval: Interval, power: float = POWER) -> float:
    """The smallest true mean whose two-sided interval, as wide as this one, leaves 0 out with `power`."""
    tail = norm.ppf(tails(interval.level, False)[1])
    return float((interval.high - interval.low) / 2 * (tail + norm.ppf(power)) / tail)


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One array: its mean under each seed, and under each seed the means of samples of its queries."""

    means: Floats  # (s,)
    drawn: Floats  # (s, b)
    n: int  # queries, of all seeds together where each has its own


def _kept(group: Sequence[Sequence[Floats]], common: bool) -> list[Floats]:
    """(arrays, n_i) of each seed: the queries that every array of a group has measured."""
    tables = [np.stack([array[row] for array in group]) for row in range(len(group[0]))]
    there = [~np.isnan(table).any(axis=0) for table in tables]
    if common and there:
        there = [np.logical_and.reduce(there)] * len(there)
    return [table[:, mask] for table, mask in zip(tables, there, strict=True)]


def _with_queries(groups: Sequence[list[Floats]]) -> list[list[Floats]]:
    """The groups with the seeds alone that have a query in each of them; none where no seed has."""
    seeds = range(len(groups[0])) if groups else ()
    whole = [all(tables[row].shape[1] for tables in groups) for row in seeds]
    found = [[table for table, keep in zip(tables, whole, strict=True) if keep] for tables in groups]
    return found if any(whole) else []


def _sides(kept: Sequence[Floats], common: bool, resamples: int, seed: int) -> list[_Side]:
    drawn = []
    for source, table in zip(_sources(seed, len(kept), common), kept, strict=True):
        blocks = drawn_rows(table.shape[1], resamples, source)
        drawn.append(np.concatenate([table[:, rows].mean(axis=2) for rows in blocks], axis=1))
    n = kept[0].shape[1] if common else sum(table.shape[1] for table in kept)
    return [
        _Side(
            np.array([table[place].mean() for table in kept]),
            np.stack([item[place] for item in drawn]),
            n,
        )
        for place in range(len(kept[0]))
    ]


def _with_seeds(
    point: float, figures: Floats, means: Floats, drawn: Floats, *, level: float, sizes: Sequence[int]
) -> tuple[float, float]:
    """The bounds of a figure, which hold the seeds as they are, with what the seeds add.

    figures: (b,) those of samples. means: (s,) values of the seeds. drawn: (s, b) those of samples of their
    queries; `sizes`: how many there are to draw. A measure that samples overstate (the ECE) may lie outside
    of their bounds: its own are as far from it as those of the samples are from their median.
    """
    if not np.isfinite(figures).any():
        return math.nan, math.nan
    low, high = (float(bound) for bound in np.nanquantile(figures, tails(level, False)))
    middle = float(np.nanmedian(figures))
    if not low <= point <= high:
        low, middle, high = low + point - middle, point, high + point - middle
    tail = tails(level, False)[1]
    n, freedom, count = sum(sizes) / len(sizes), sum(sizes) - len(sizes), len(means)
    few = stretch(n, tail, freedom)
    if count < 2:
        return stretched(middle, low, high, few)
    unbiased = n / (n - 1)  # samples of n queries vary by less than the queries do
    held = float(drawn.mean(axis=0).var()) * unbiased
    # What queries alone make seeds differ by: of queries that all seeds share, the part that they do not.
    apart = float((drawn - drawn.mean(axis=0)).var(axis=1).mean()) * unbiased / (count - 1)
    # Where seeds pull queries in opposite directions (one promotes what another rolls back), their mean hardly
    # moves with the queries drawn. That is chance: what seeds share has no variance below 0.
    of_queries = max(held, apart)
    of_seeds = float(means.var(ddof=1)) / count
    added = of_seeds - apart
    if added <= _TINY:
        centre, both, wider = middle, of_queries, few
    else:
        centre, both = point, of_queries + added
        # Of what makes up the variance each part has degrees of freedom of its own.
        parts = (of_seeds / both) ** 2 / (count - 1) + (of_queries / both) ** 2 / freedom
        wider = math.sqrt(unbiased) * float(t.ppf(tail, 1 / parts) / norm.ppf(tail))
    if held <= _TINY:  # samples have no shape
        half = wider * float(norm.ppf(tail)) * math.sqrt(both / unbiased)
        return point - half, point + half
    by = wider * math.sqrt(both / held)
    return centre - by * (middle - low), centre + by * (high - middle)


def _slopes(measure: Callable[..., Floats], means: Sequence[float]) -> list[float]:
    """The measure's slope by each mean."""

    def at(place: int, step: float) -> float:
        moved = [np.array([value + step * (place == number)]) for number, value in enumerate(means)]
        return float(measure(*moved)[0])

    return [(at(place, _STEP) - at(place, -_STEP)) / (2 * _STEP) for place in range(len(means))]


def _itself(mean: Floats) -> Floats:
    return mean
