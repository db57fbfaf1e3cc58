"""One model on one graded set, and two models on the same set.

An `Evaluation` is derived from a table with a row a query (`queries`), and that table is what the intervals
are drawn from: keep it (Parquet) beside the JSON to compare with a later model.

    before, after = evaluate(test, old.score(...)), evaluate(test, new.score(...))
    compare(before, after, level=0.95, resamples=2_000, seed=0)["ndcg@4"]   # Interval of after - before
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from serm.core.errors import DataError
from serm.core.records import N_GRADES, Interval
from serm.evals.bootstrap import Floats, difference_interval, mean_interval, statistic_intervals
from serm.evals.grades import BINS, MEASURES, QuerySums, always_commonest, grade_measures, query_sums
from serm.evals.measures import CUTOFFS, per_query
from serm.evals.plain import plain
from serm.relevance_model.base import Scores

LOWER_IS_BETTER: Final = frozenset({"brier", "ece"})

WITHOUT_VERDICT: Final = frozenset({"ece"})
"""A sum of absolute gaps grows with the number of bins that are filled, so that two models without any gap
differ in it, and more surely so the more queries there are (docs/evaluation.md)."""

_CONFUSION: Final = [f"confusion_{row}{column}" for row in range(N_GRADES) for column in range(N_GRADES)]
_CALIBRATION: Final = [f"calibration_{number}" for number in range(BINS)]
SUMS: Final = (*_CONFUSION, *_CALIBRATION, "brier")
"""The columns of an evaluation's table by query that every grade measure is made of."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Means over queries, each query weighing the same. NaN where nothing could be measured."""

    pairs: int
    queries: int  # that NDCG is the mean of: more than one grade
    single_grade: int  # queries with one grade only, apart from NDCG, part of the grade measures
    without_relevant: int  # those of them in which every grade is 0
    ndcg: dict[str, float]  # "ndcg@4": 0 to 1
    accuracy: float
    balanced_accuracy: float
    qwk: float  # quadratic-weighted kappa
    brier: float  # 0 to 2, lower is better
    ece: float  # expected calibration error, lower is better
    commonest_grade: int  # -1 where there is no pair
    commonest: dict[str, float]  # the grade measures of "always the commonest grade"
    per_query: pd.DataFrame = field(repr=False)

    def measures(self) -> dict[str, float]:
        """Every measure by its name: ndcg@k, accuracy, balanced_accuracy, qwk, brier, ece."""
        return {**self.ndcg, **{name: float(getattr(self, name)) for name in MEASURES}}

    def to_json(self) -> dict[str, Any]:
        """Everything but the table, for JSON: NaN as None."""
        found: dict[str, Any] = plain(
            {
                "pairs": self.pairs,
                "queries": self.queries,
                "single_grade": self.single_grade,
                "without_relevant": self.without_relevant,
                **self.measures(),
                "commonest_grade": self.commonest_grade,
                "commonest": self.commonest,
            }
        )
        return found


def evaluate(frame: pd.DataFrame, scores: Scores, cutoffs: Sequence[int] = CUTOFFS) -> Evaluation:
    """Measure the scores of a graded frame's n rows (query_id, doc_id, grade). An empty frame gives NaN.

    Raises DataError for a grade off the scale, a repeated pair or a score that is no number.
    """
    ranking = per_query(frame, scores.expected, cutoffs)
    sums = query_sums(frame, scores.probabilities)
    columns = [
        ranking,
        pd.DataFrame(sums.confusion.reshape(len(ranking), len(_CONFUSION)), columns=_CONFUSION),
        pd.DataFrame(sums.calibration, columns=_CALIBRATION),
        pd.Series(sums.brier, name="brier"),
    ]
    return summarise(pd.concat(columns, axis=1))


def summarise(per_query_table: pd.DataFrame) -> Evaluation:
    """The evaluation of a table that `evaluate` made (all of it, or some of its rows)."""
    table = per_query_table.reset_index(drop=True)
    sums = sums_of(table)
    ranked = table[table["mixed"]]
    grade, commonest = always_commonest(sums)
    return Evaluation(
        pairs=int(table["pairs"].sum()),
        queries=len(ranked),
        single_grade=len(table) - len(ranked),
        without_relevant=int((~table["relevant"].astype(bool)).sum()),
        ndcg={name: float(ranked[name].mean()) for name in _ndcg_columns(table)},
        **grade_measures(sums),
        commonest_grade=grade,
        commonest=commonest,
        per_query=table,
    )


def intervals(evaluation: Evaluation, *, level: float, resamples: int, seed: int) -> dict[str, Interval]:
    """Every measure with its bootstrap interval over queries."""
    table = evaluation.per_query
    sums = sums_of(table)
    found = {
        name: mean_interval(table[name].to_numpy(dtype=np.float64), level, resamples, seed)
        for name in _ndcg_columns(table)
    }
    grades = statistic_intervals(
        lambda counts: _grade_columns(sums, counts), len(table), level, resamples, seed
    )
    return {**found, **dict(zip(MEASURES, grades, strict=True))}


def compare(
    before: Evaluation, after: Evaluation, *, level: float, resamples: int, seed: int
) -> dict[str, Interval]:
    """What `after` adds to `before` in every measure (after - before), paired over the same queries.

    For Brier and ECE a negative difference is the better one (`LOWER_IS_BETTER`). Raises DataError where the
    two were not measured on the same queries and grades.
    """
    first, second = before.per_query, _aligned(before.per_query, after.per_query)
    names = [name for name in _ndcg_columns(first) if name in second]
    found = {
        name: difference_interval(first[name].to_numpy(), second[name].to_numpy(), level, resamples, seed)
        for name in names
    }
    a, b = sums_of(first), sums_of(second)
    grades = statistic_intervals(
        lambda counts: _grade_columns(b, counts) - _grade_columns(a, counts),
        len(first),
        level,
        resamples,
        seed,
    )
    return {**found, **dict(zip(MEASURES, grades, strict=True))}


def within_noise(difference: Interval) -> bool:
    """The interval holds 0, or there is none: no difference can be claimed."""
    return not (difference.low > 0 or difference.high < 0)


def _aligned(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """The rows of `second` in the order of `first`."""
    ordered = second.set_index("query_id").reindex(first["query_id"]).reset_index()
    human = [sums_of(table).confusion.sum(axis=2) for table in (first, ordered)]
    same = len(first) == len(second) and np.allclose(human[0], human[1])
    if not same:
        raise DataError(
            "two evaluations of different queries or grades cannot be compared.",
            "Evaluate both models on the same test.",
        )
    return ordered


def sums_of(table: pd.DataFrame) -> QuerySums:
    """What the grade measures are made of, from the columns SUMS of a table with a row a query."""
    n = len(table)
    return QuerySums(
        table[_CONFUSION].to_numpy(dtype=np.float64).reshape(n, N_GRADES, N_GRADES),
        table["brier"].to_numpy(dtype=np.float64),
        table[_CALIBRATION].to_numpy(dtype=np.float64),
    )


def _grade_columns(sums: QuerySums, counts: Floats) -> Floats:
    """(b, queries) -> (b, measures)"""
    return np.stack([measure(sums, counts) for measure in MEASURES.values()], axis=1)


def _ndcg_columns(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name.startswith("ndcg@")]
