"""Where the query stream moved: groups of queries whose share of the traffic changed.

If nothing drifted, the number of a group's members that are current is hypergeometric given its size, because
groups are made blind to which query is current: Fisher's exact test holds. Of many groups the p-values are
corrected for the false discovery rate, and groups too small to tell cost nothing (`corrections.discrete`).

Against a change in a few percent of the traffic this test is far stronger than one over all queries, which is
stronger against a small move of them all. `drift.detect` asks both, each at half the level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

from serm.relevance_model.base import FloatArray
from serm.tools.corrections import discrete
from serm.tools.query_groups import Basis, Group, query_groups
from serm.tools.query_sample import QuerySample

Kind = Literal["new", "growing", "dying"]
NEW = 10.0  # a region whose share grew more than so many times is new; chosen
TOLD = 0.5  # share of a region's queries that others tell of already, from which it is left out; chosen
COMPARABLE = 0.5  # a region tells of another one that changed at most twice as much; chosen
MOST = 200  # regions, at most: nobody reads more, and each is held against all before it; chosen

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Region:
    """Queries that became more or fewer. Members are rows of either sample, the most typical first."""

    kind: Kind
    basis: Basis
    name: str  # the word or the language that its queries have in common; "" for a cluster
    members: Ints  # of the current sample
    before: Ints  # of the reference sample
    current: int  # members that count (`QuerySample.counted`)
    reference: int
    growth: float  # current share / reference share, of those; infinite where the reference has none
    p_value: float  # corrected


def drifted_regions(reference: QuerySample, current: QuerySample, *, level: float, seed: int) -> list[Region]:
    """Regions whose share changed at `level`, the most certain first.

    Of groups that tell of the same queries the most certain one is kept.
    """
    sides = _Sides(reference.counted, current.counted)
    if min(sides.counts) < 2:
        return []
    m = len(reference)
    vectors = np.concatenate([reference.embeddings, current.embeddings]).astype(np.float32, copy=False)
    names = _both(reference.names, current.names)
    languages = _both(reference.languages, current.languages)
    groups = query_groups(vectors, names, languages, seed=seed)
    held = [sides.of(group.rows[group.rows < m], group.rows[group.rows >= m] - m) for group in groups]
    theirs, ours = np.array(held, dtype=np.int64).reshape(-1, 2).T
    p_values = discrete(*fisher(theirs, ours, *sides.counts), level)
    moved = np.flatnonzero(p_values <= level)
    moved = moved[np.lexsort((-(ours + theirs)[moved], p_values[moved]))]
    found = (_region(groups[row], vectors, sides, float(p_values[row])) for row in moved)
    return list(_distinct(found, sides))


@dataclass(frozen=True, slots=True)
class _Sides:
    """Which queries count, of those before and of those now."""

    before: NDArray[np.bool_]
    now: NDArray[np.bool_]

    @property
    def counts(self) -> tuple[int, int]:
        return int(self.before.sum()), int(self.now.sum())

    def of(self, before: Ints, members: Ints) -> tuple[int, int]:
        """How many of some rows of either sample count."""
        return int(self.before[before].sum()), int(self.now[members].sum())


def fisher(reference: Ints, current: Ints, m: int, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fisher's exact test of k groups that hold so many of m reference and of n current queries.

    Returns two-sided p-values (twice the smaller tail) and the least that each could have been, given the
    group's size. (k,), (k,).
    """
    size = reference + current
    law = hypergeom(m + n, n, size)
    low, high = np.maximum(0, size - m), np.minimum(n, size)
    p_values = 2.0 * np.minimum(law.cdf(current), law.sf(current - 1))
    least = 2.0 * np.minimum(law.pmf(low), law.pmf(high))
    return np.minimum(p_values, 1.0), np.minimum(least, 1.0)


def _both(first: Sequence[str], second: Sequence[str]) -> list[str]:
    return [*first, *second] if len(first) and len(second) else []


def _region(group: Group, vectors: FloatArray, sides: _Sides, p_value: float) -> Region:
    m = len(sides.before)
    centre = vectors[group.rows].mean(axis=0)
    typical = group.rows[np.argsort(-(vectors[group.rows] @ centre), kind="stable")]
    members, before = typical[typical >= m] - m, typical[typical < m]
    theirs, ours = sides.of(before, members)
    all_before, all_now = sides.counts
    growth = (ours / all_now) / (theirs / all_before) if theirs else float("inf")
    kind: Kind = "dying" if growth < 1 else "new" if growth > NEW else "growing"
    return Region(kind, group.basis, group.name, members, before, ours, theirs, growth, p_value)


def _distinct(regions: Iterator[Region], sides: _Sides) -> Iterator[Region]:
    """Leave out a region most of whose queries lie in others that changed about as much, and what comes after
    the `MOST` most certain ones."""
    m, n = len(sides.before), len(sides.now)
    kept: list[tuple[float, Region]] = []
    for region in regions:
        if len(kept) >= MOST:
            return
        change = _change(region, *sides.counts)
        told = np.zeros(m + n, dtype=bool)
        for other_change, other in kept:
            if other_change * change > 0 and abs(other_change) >= np.log(COMPARABLE) + abs(change):
                told[m + other.members] = told[other.before] = True
        own = region.before if region.kind == "dying" else m + region.members
        if told[own].mean() < TOLD:
            kept.append((change, region))
            yield region


def _change(region: Region, m: int, n: int) -> float:
    """Log of the growth, with half a query added to both sides: finite, and small where a group is small."""
    return float(np.log((region.current + 0.5) / n) - np.log((region.reference + 0.5) / m))
