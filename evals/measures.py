"""NDCG of every query, through ir-measures, with the gain 2^grade - 1 and the discount 1 / log2(rank + 1).

Three decisions, each of which would flatter a model if it were taken otherwise:

- Only the pairs of the frame are ranked and graded: the judged pool, no unjudged document.
- Ties. trec_eval breaks them by document id, which may carry the grade. A query in which documents of
  different grades tie gets the exact expected value over all orders of the tied documents instead (McSherry
  and Najork, ECIR 2008): in DCG each document of a tie counts with the tie's mean gain. So neither the order
  of the rows nor the ids of the documents can move a figure.
- A query with one grade only has the same NDCG whatever the ranking is (1, or 0 where nothing is relevant).
  It gets NaN and is left out of every mean; `mixed` and `relevant` let its reader count it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import ir_measures
import numpy as np
import pandas as pd
from ir_measures import nDCG
from numpy.typing import ArrayLike, NDArray

from serm.core.errors import DataError
from serm.core.records import GRADES

CUTOFFS: Final = (1, 4, 10)  # ranks
_GAINS: Final = {grade: 2**grade - 1 for grade in GRADES}

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def ndcg_column(cutoff: int) -> str:
    return f"ndcg@{cutoff}"


def per_query(frame: pd.DataFrame, expected: ArrayLike, cutoffs: Sequence[int] = CUTOFFS) -> pd.DataFrame:
    """NDCG of each query of a graded frame under the scores that rank it.

    `frame` has query_id, doc_id and grade (n rows, no pair twice); `expected` is (n,), higher is better, in
    any unit. Returns a row a query, in the order in which queries appear: query_id, one column `ndcg@k` for
    each cut-off (NaN where the query has one grade only), pairs (their number), mixed (more than one grade)
    and relevant (a grade above 0). Raises DataError for a score that is no number, a grade that is none, or
    a pair that stands twice.
    """
    scores = np.asarray(expected, dtype=np.float64)
    grades = checked_grades(frame)
    if scores.shape != grades.shape:
        raise ValueError(f"{len(grades)} pairs and {scores.shape} scores")
    if not np.isfinite(scores).all():
        raise DataError(
            f"{int((~np.isfinite(scores)).sum())} of {len(scores)} scores are not finite numbers.",
            "A model that gives NaN has diverged: lower training.learning_rate.",
        )
    codes, queries = pd.factorize(frame["query_id"])
    codes = np.asarray(codes, dtype=np.int64)
    n = len(queries)
    lowest, highest = np.full(n, GRADES[-1]), np.full(n, GRADES[0])
    np.minimum.at(lowest, codes, grades)
    np.maximum.at(highest, codes, grades)
    mixed = highest > lowest
    values = _by_ir_measures(frame, codes, grades, scores, mixed=mixed, cutoffs=cutoffs)
    tied = _queries_with_ties_that_matter(codes, grades, scores, n)
    rows = tied[codes]
    values[tied] = _expected_ndcg(codes[rows], grades[rows], scores[rows], cutoffs, n)[tied]
    return pd.DataFrame(
        {
            "query_id": np.asarray(queries, dtype=object),
            **{ndcg_column(cutoff): values[:, column] for column, cutoff in enumerate(cutoffs)},
            "pairs": np.bincount(codes, minlength=n),
            "mixed": mixed,
            "relevant": highest > 0,
        }
    ).astype({"query_id": "str"})


def checked_grades(frame: pd.DataFrame) -> Ints:
    """The column `grade` as (n,) integers; DataError where a row has none or one off the scale."""
    if "grade" not in frame:
        raise DataError("these pairs carry no grades.", "Measures need human grades.", field="grade")
    raw = pd.to_numeric(frame["grade"], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~np.isin(raw, GRADES)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{int(wrong.sum())} pairs have a grade that is none of {GRADES}; the first is "
            f"{frame['grade'].iloc[first]!r} (query {frame['query_id'].iloc[first]!r}).",
            field="grade",
        )
    return raw.astype(np.int64)


def _by_ir_measures(
    frame: pd.DataFrame,
    codes: Ints,
    grades: Ints,
    scores: Floats,
    *,
    mixed: NDArray[np.bool_],
    cutoffs: Sequence[int],
) -> Floats:
    """(queries, cutoffs), NaN for queries with one grade. Ties go by row here, and are put right later."""
    order = np.lexsort((-scores, codes))
    ranked = np.empty(len(scores))
    ranked[order] = np.arange(len(scores), 0.0, -1.0)  # whole numbers: trec_eval compares float32
    qrels: dict[str, dict[str, int]] = {str(code): {} for code in np.flatnonzero(mixed)}
    run: dict[str, dict[str, float]] = {name: {} for name in qrels}
    kept = mixed[codes]
    documents = frame["doc_id"].astype(str).to_numpy()
    for code, doc, grade, score in zip(codes[kept], documents[kept], grades[kept], ranked[kept], strict=True):
        name = str(code)
        if doc in run[name]:
            raise DataError(f"document {doc!r} stands twice in one query.", "Remove the repeated pair.")
        qrels[name][doc] = int(grade)
        run[name][doc] = float(score)
    measures: dict[Any, int] = {nDCG(gains=_GAINS) @ cutoff: column for column, cutoff in enumerate(cutoffs)}
    values = np.full((len(mixed), len(cutoffs)), np.nan)
    if qrels:
        for metric in ir_measures.iter_calc(list(measures), qrels, run):
            values[int(metric.query_id), measures[metric.measure]] = metric.value
    return values


def _queries_with_ties_that_matter(codes: Ints, grades: Ints, scores: Floats, n: int) -> NDArray[np.bool_]:
    """(queries,): documents of one score have different grades."""
    order = np.lexsort((grades, scores, codes))
    codes, grades, scores = codes[order], grades[order], scores[order]
    tie = (codes[1:] == codes[:-1]) & (scores[1:] == scores[:-1]) & (grades[1:] != grades[:-1])
    found = np.zeros(n, dtype=np.bool_)
    found[codes[1:][tie]] = True
    return found


def _expected_ndcg(codes: Ints, grades: Ints, scores: Floats, cutoffs: Sequence[int], n: int) -> Floats:
    """(queries, cutoffs): expected NDCG over all orders of tied documents; NaN where a query has no gain."""
    gains = 2.0**grades - 1
    order = np.lexsort((-scores, codes))
    by_rank, by_score = codes[order], scores[order]
    new = np.r_[True, (by_rank[1:] != by_rank[:-1]) | (by_score[1:] != by_score[:-1])][: len(order)]
    group = np.cumsum(new) - 1
    shared = (np.bincount(group, gains[order]) / np.bincount(group))[group] if len(order) else gains
    best = gains[np.lexsort((-gains, codes))]
    first = np.searchsorted(by_rank, np.arange(n))
    rank = np.arange(len(order)) - first[by_rank]  # from 0
    discount = 1 / np.log2(rank + 2)
    columns = []
    for cutoff in cutoffs:
        weight = np.where(rank < cutoff, discount, 0.0)
        ideal = np.bincount(by_rank, weight * best, minlength=n)
        dcg = np.bincount(by_rank, weight * shared, minlength=n)
        columns.append(np.divide(dcg, ideal, out=np.full(n, np.nan), where=ideal > 0))
    return np.stack(columns, axis=1)
