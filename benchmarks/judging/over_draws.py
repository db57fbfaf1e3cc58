"""Measures of a rule that was learned from several random draws of graded pairs, with intervals over both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serm.benchmarks.judging.recorded import Recorded
from serm.core.records import N_GRADES
from serm.evals.agreement_measures import MEASURES
from serm.evals.rater import NO_GRADE

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

RESAMPLES: Final = 500
LEVEL: Final = 0.95


@dataclass(frozen=True, eq=False)
class OverDraws:
    """Confusion by draw and query: (draws, queries, 4 human, 4 given)."""

    tables: Floats

    @classmethod
    def of(cls, data: Recorded, given: Sequence[Ints]) -> OverDraws:
        """`given` holds the grades of each draw, (n,) with -1 for none."""
        return cls(np.stack([_by_query(data, grades) for grades in given]))

    def values(self, measure: str) -> Floats:
        """(draws,)"""
        return MEASURES[measure](self.tables.sum(axis=1))

    def mean(self, measure: str) -> float:
        return float(self.values(measure).mean())

    def told(self, measure: str) -> str:
        """The mean, and over several draws how far one draw is from it: "0.340 ± 0.012"."""
        values = self.values(measure)
        spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
        return f"{values.mean():.3f}{spread}"

    def against(self, other: OverDraws, measure: str) -> str:
        """What the mean adds to another's on the same queries, with its interval over queries and draws."""
        low, high = np.quantile(_sampled(self, measure) - _sampled(other, measure), _TAILS)
        change = self.mean(measure) - other.mean(measure)
        return f"{change:+.3f} [{low:+.3f}, {high:+.3f}]"


_TAILS: Final = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


def _sampled(rule: OverDraws, measure: str) -> Floats:
    """(RESAMPLES,): the mean over drawn draws on drawn queries; the same queries for every rule."""
    draws, queries = rule.tables.shape[:2]
    rng = np.random.default_rng(0)
    counts = np.stack(
        [np.bincount(rng.integers(0, queries, queries), minlength=queries) for _ in range(RESAMPLES)]
    )
    tables = np.einsum("bq,dqij->bdij", counts.astype(np.float64), rule.tables, optimize=True)
    values = _each(MEASURES[measure], tables)
    picked = np.random.default_rng(1).integers(0, draws, (RESAMPLES, draws))
    return np.asarray(np.take_along_axis(values, picked, axis=1).mean(axis=1))


def _each(measure: Callable[[Floats], Floats], tables: Floats) -> Floats:
    return measure(tables.reshape(-1, N_GRADES, N_GRADES)).reshape(tables.shape[:2])


def _by_query(data: Recorded, given: Ints) -> Floats:
    rows = given != NO_GRADE
    cells = (data.queries[rows] * N_GRADES + data.human[rows]) * N_GRADES + given[rows]
    flat = np.bincount(cells, minlength=data.n_queries * N_GRADES**2)
    return flat.reshape(data.n_queries, N_GRADES, N_GRADES).astype(np.float64)
