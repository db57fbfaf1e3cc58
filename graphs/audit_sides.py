"""The two sides of an audit: the queries of now and of before, with what is known of their ranking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.evals.decay import CUTOFF, Measured, expected_mean, measured_mean
from serm.evals.measures import ndcg_column, per_query
from serm.relevance_model.base import FloatArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """Queries with what the model expects of their lists, and what human grades of whole lists say.

    NDCG of the documents that people chose to grade is that of another, shorter list: it is not compared with
    that of a list as it was shown. That people gave a query's documents one grade is no lack of grades: left
    among the ungraded ones it would stand for queries of another kind, and bend the mean.
    """

    languages: NDArray[np.object_]
    strata: NDArray[np.object_]  # each by the traffic of its own window; "": it logs none
    expected: Floats  # NDCG@4
    graded: NDArray[np.bool_]  # by people, all of the list
    human: Floats  # NDCG@4; NaN: not graded, or with one grade
    in_part: int  # queries that people graded a part of
    names: NDArray[np.object_]  # what a query is known by on both sides
    pairs: NDArray[np.int64]  # in its list

    def __len__(self) -> int:
        return len(self.expected)

    @property
    def grades(self) -> int:
        """Human grades that figures rest on: those of whole lists."""
        return int(self.pairs[self.graded].sum())

    def of(self, rows: NDArray[np.bool_], level: float) -> Measured:
        """By human grades as far as there are two queries with them, else by the model's expectation."""
        graded, others = rows & self.graded, rows & ~self.graded
        human, expected = self.human[graded], self.expected[graded]
        measured = measured_mean(human, expected, self.expected[others], level, names=self.names[graded])
        return measured if measured.graded else self.expectation(rows & ~self.graded, level)

    def expectation(self, rows: NDArray[np.bool_], level: float) -> Measured:
        """What the model expects of its ranking of some queries."""
        return expected_mean(self.expected[rows], level, names=self.names[rows])


def whole_lists(
    lists: pd.DataFrame, expected: FloatArray, queries: int
) -> tuple[NDArray[np.bool_], Floats, int]:
    """Of so many queries whose whole list has grades, (queries,), NDCG@4 by those, NaN where they are one
    alone, and how many were graded in part. `lists`: query_id (a number from 0), doc_id and grade (NaN:
    none) of n pairs, `expected` (n,)."""
    whole, result = np.zeros(queries, dtype=bool), np.full(queries, np.nan)
    said = lists["grade"].notna().groupby(lists["query_id"]).agg(["all", "any"])
    whole[said.index[said["all"]].to_numpy(dtype=np.int64)] = True
    rows = whole[lists["query_id"].to_numpy()]
    if rows.any():
        measured = per_query(lists[rows].astype({"grade": int}).reset_index(drop=True), expected[rows])
        codes = measured["query_id"].to_numpy(dtype=np.int64)
        result[codes] = measured[ndcg_column(CUTOFF)].where(measured["mixed"]).to_numpy(dtype=np.float64)
    return whole, result, int((said["any"] & ~said["all"]).sum())


def given_grades(
    documents: pd.Series, query_index: NDArray[np.int64], given: pd.DataFrame, expected: FloatArray
) -> tuple[NDArray[np.bool_], Floats, int]:
    """The same of a window's queries: its n pairs' doc_id, query (a number from 0) and expected grade.
    `given`: `query`, doc_id and grade of what people graded. A text may come under several ids, with the
    pairs of each."""
    queries = int(query_index.max()) + 1 if len(query_index) else 0
    own = pd.DataFrame({"query_id": query_index, "doc_id": documents.to_numpy()})
    own = own.assign(row=np.arange(len(own))).drop_duplicates(["query_id", "doc_id"])
    said = given[["query", "doc_id", "grade"]].rename(columns={"query": "query_id"})
    said = said.drop_duplicates(["query_id", "doc_id"])
    lists = own.merge(said, on=["query_id", "doc_id"], how="left")
    return whole_lists(lists, expected[lists["row"].to_numpy()], queries)


def not_graded(queries: int) -> tuple[NDArray[np.bool_], Floats, int]:
    """The same of queries that nobody graded."""
    return np.zeros(queries, dtype=bool), np.full(queries, np.nan), 0


def joined(first: Side, second: Side) -> Side:
    return Side(
        np.concatenate([first.languages, second.languages]),
        np.concatenate([first.strata, second.strata]),
        np.concatenate([first.expected, second.expected]),
        np.concatenate([first.graded, second.graded]),
        np.concatenate([first.human, second.human]),
        first.in_part + second.in_part,
        np.concatenate([first.names, second.names]),
        np.concatenate([first.pairs, second.pairs]),
    )
