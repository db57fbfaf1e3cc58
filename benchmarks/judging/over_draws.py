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
from serm.evals.seeds import statistics_intervals

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Measure = Callable[[Floats], Floats]

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
        ours, theirs = np.broadcast_arrays(self.tables, other.tables)  # one of a single draw meets all
        draws, queries = ours.shape[:2]
        (found,) = statistics_intervals(
            [_difference(MEASURES[measure], one, two) for one, two in zip(ours, theirs, strict=True)],
            [queries] * draws,
            LEVEL,
            RESAMPLES,
            seed=0,
            common=True,
        )
        return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _difference(measure: Measure, one: Floats, two: Floats) -> Measure:
    """Of (queries, 4, 4) confusions of two rules: (b, queries) counts -> (b, 1) differences of a measure."""

    def of(counts: Floats) -> Floats:
        first, second = (np.einsum("bq,qij->bij", counts, side, optimize=True) for side in (one, two))
        return (measure(first) - measure(second))[:, None]

    return of


def _by_query(data: Recorded, given: Ints) -> Floats:
    rows = given != NO_GRADE
    cells = (data.queries[rows] * N_GRADES + data.human[rows]) * N_GRADES + given[rows]
    flat = np.bincount(cells, minlength=data.n_queries * N_GRADES**2)
    return flat.reshape(data.n_queries, N_GRADES, N_GRADES).astype(np.float64)
