"""One rater, a judge or a panel, against people: how often right, on which grades, how well calibrated.

Over pairs, each weighing the same, as agreement with TREC's assessors is published; intervals are drawn over
queries, whose pairs hang together. (evals/grades.py, for models, weighs queries the same.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.records import GRADES, N_GRADES, Interval
from serm.evals.agreement_measures import MEASURES, Floats, confusion
from serm.evals.bootstrap import statistic_intervals
from serm.evals.grades import BINS

NO_GRADE: Final = -1

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Draws:
    """How intervals are drawn over queries."""

    level: float = 0.95
    resamples: int = 1_000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class OfGrade:
    """One grade of one rater. NaN where there is no such pair."""

    grade: int
    given: int  # pairs that were given it
    human: int  # pairs of which people said it
    precision: float  # of those given it, the share of which people said it
    recall: float  # of those of which people said it and that got a grade, the share that was given it
    coverage: float  # of those of which people said it, the share that got a grade at all


@dataclass(frozen=True, slots=True)
class Agreement:
    """One rater, a judge or the panel, against people."""

    name: str
    pairs: int  # human-graded pairs that it was asked of
    graded: int  # of those, the ones that it gave a grade; all that follows is of these
    measures: dict[str, Interval]  # accuracy, kappa, binary_kappa, qwk, balanced_accuracy
    grades: tuple[OfGrade, ...]
    confusion: tuple[tuple[int, ...], ...]  # [human grade][given grade]: pairs
    ece: float | None  # calibration of the given grade's probability; None where there are none

    @property
    def coverage(self) -> float:
        """The share of the pairs that got a grade."""
        return self.graded / self.pairs if self.pairs else np.nan


def rate(
    name: str,
    human: Ints,
    given: Ints,
    queries: NDArray[Any],
    *,
    probabilities: Floats | None = None,
    draws: Draws | None = None,
) -> Agreement:
    """One rater of n pairs: human grades, given grades (-1: none) and what tells queries apart, (n,) each.

    `probabilities` (n, 4) are the rater's own, NaN where it has none.
    """
    rows = given != NO_GRADE
    table = confusion(human[rows], given[rows])
    grades = []
    for grade in GRADES:
        people, told = int((human == grade).sum()), int(table[:, grade].sum())
        reached, right = int(table[grade].sum()), int(table[grade, grade])
        grades.append(
            OfGrade(grade, told, people, _share(right, told), _share(right, reached), _share(reached, people))
        )
    return Agreement(
        name=name,
        pairs=len(human),
        graded=int(rows.sum()),
        measures=_intervals(human[rows], given[rows], queries[rows], draws or Draws()),
        grades=tuple(grades),
        confusion=tuple(tuple(int(cell) for cell in row) for row in table),
        ece=None if probabilities is None else calibration(human[rows], given[rows], probabilities[rows]),
    )


def calibration(human: Ints, given: Ints, probabilities: Floats) -> float | None:
    """Expected calibration error: the mean gap, over 15 bins, between the given grade's probability and how
    often it is right (Guo et al. 2017). None where no pair has probabilities."""
    sure = probabilities[np.arange(len(given)), given]
    known = ~np.isnan(sure)
    if not known.any():
        return None
    bins = np.minimum((sure[known] * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, (human == given)[known] - sure[known], minlength=BINS)
    return float(np.abs(gaps).sum() / known.sum())


def _intervals(human: Ints, given: Ints, queries: NDArray[Any], draws: Draws) -> dict[str, Interval]:
    codes, names = pd.factorize(queries)
    cells = (codes * N_GRADES + human) * N_GRADES + given
    tables = np.bincount(cells, minlength=len(names) * N_GRADES**2).reshape(len(names), N_GRADES**2)

    def statistic(counts: Floats) -> Floats:
        drawn = (counts @ tables).reshape(len(counts), N_GRADES, N_GRADES)
        return np.stack([measure(drawn) for measure in MEASURES.values()], axis=1)

    if not len(names):
        return {name: Interval(np.nan, np.nan, np.nan, 0, draws.level) for name in MEASURES}
    found = statistic_intervals(statistic, len(names), draws.level, draws.resamples, draws.seed)
    return dict(zip(MEASURES, found, strict=True))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else np.nan
