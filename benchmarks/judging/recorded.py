"""Recorded judges of TREC Deep Learning as tables of votes, and rules over them, many pairs at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.columns import KEY
from serm.core.hashing import query_bucket
from serm.core.records import GRADES, N_GRADES, Label, Outcome, PairKey
from serm.evals.rater import NO_GRADE
from serm.tools.peer_vote import decide
from serm.tools.reliability import Reliability, Votes, learn

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recorded:
    """n pairs: human grades, queries as numbers, and the votes of every judge (-1: none, or out of range)."""

    keys: list[PairKey]
    human: Ints
    queries: Ints
    votes: dict[str, Ints]

    def only(self, rows: NDArray[np.bool_]) -> Recorded:
        """The pairs that `rows` (n,) says."""
        return Recorded(
            [key for key, wanted in zip(self.keys, rows.tolist(), strict=True) if wanted],
            self.human[rows],
            pd.factorize(self.queries[rows])[0],
            {judge: votes[rows] for judge, votes in self.votes.items()},
        )

    def having(self, further: dict[str, Ints]) -> Recorded:
        """With more judges."""
        return Recorded(self.keys, self.human, self.queries, {**self.votes, **further})

    def __len__(self) -> int:
        return len(self.human)

    @cached_property
    def n_queries(self) -> int:
        return int(self.queries.max()) + 1

    def panel(self, judges: Sequence[str]) -> Ints:
        """(n, judges)"""
        return np.stack([self.votes[judge] for judge in judges], axis=1)


def read_years(folder: Path) -> dict[int, tuple[Recorded, NDArray[np.bool_]]]:
    """By year the pairs, and which are of gate queries: bucket 0 of 5, as in configs/verticals.yaml."""
    pairs = pd.read_parquet(folder / "pairs.parquet", columns=[*KEY, "grade", "timestamp"])
    said = pd.read_parquet(folder / "judgments.parquet")
    table = said.pivot_table(index=list(KEY), columns="judge", values="label", observed=True)
    wide = pairs.merge(table.reset_index(), how="left", on=list(KEY))
    found = {}
    for year, rows in wide.groupby(pairs["timestamp"].dt.year):
        votes = {
            str(judge): rows[judge].where(rows[judge].isin(GRADES), NO_GRADE).to_numpy(np.int64)
            for judge in table.columns
        }
        keys = [PairKey(*key) for key in rows[[*KEY]].itertuples(index=False, name=None)]
        recorded = Recorded(keys, rows["grade"].to_numpy(np.int64), pd.factorize(rows["query_id"])[0], votes)
        found[int(str(year))] = (
            recorded,
            (rows["query_id"].map(lambda name: query_bucket(name, 5)) == 0).to_numpy(bool),
        )
    return found


def learned(data: Recorded, judges: Sequence[str], n: int, draw: int, keep: float = 1.0) -> Reliability:
    """The rule from n pairs drawn at random; all pairs where n is at least their number."""
    rows = np.random.default_rng(draw).permutation(len(data))[:n]
    votes = [votes_of(judges, row) for row in data.panel(judges)[rows].tolist()]
    return learn(votes, data.human[rows].tolist(), keep=keep)


def votes_of(judges: Sequence[str], row: Sequence[int]) -> Votes:
    return [(judge, None if vote == NO_GRADE else vote) for judge, vote in zip(judges, row, strict=True)]


def decided(rule: Reliability, data: Recorded, judges: Sequence[str]) -> tuple[Ints, Floats]:
    """(n,) grades of the rule, -1 where it drops, and (n, 4) posteriors."""
    ways, place = np.unique(data.panel(judges), axis=0, return_inverse=True)
    said = [rule.decide(votes_of(judges, row)) for row in ways.tolist()]
    grades = np.array([NO_GRADE if grade is None else grade for grade, _ in said], dtype=np.int64)
    posteriors = np.array([posterior for _, posterior in said])
    return grades[place.ravel()], posteriors[place.ravel()]


def labels(rule: Reliability, data: Recorded, judges: Sequence[str]) -> list[Label]:
    """The rule's labels, as `peer_vote` gives them."""
    found = []
    for key, row in zip(data.keys, data.panel(judges).tolist(), strict=True):
        votes = tuple(votes_of(judges, row))
        said = decide(votes, Outcome.RELIABILITY.value, 1, rule)
        found.append(Label(key.query_id, key.doc_id, said.grade, said.distribution, said.outcome, votes))
    return found


def counted(rule: Callable[[Sequence[int]], int | None], data: Recorded, judges: Sequence[str]) -> Ints:
    """(n,) grades of a rule that counts votes, -1 where it drops or nobody answered."""
    ways, place = np.unique(data.panel(judges), axis=0, return_inverse=True)
    grades = []
    for row in ways.tolist():
        answers = [vote for vote in row if vote != NO_GRADE]
        grade = rule(answers) if answers else None
        grades.append(NO_GRADE if grade is None else grade)
    return np.array(grades, dtype=np.int64)[place.ravel()]


def filled(posteriors: Floats, numbers: Sequence[int]) -> Ints:
    """So many pairs of each grade as `numbers` says: those likeliest to have it, the rarest grade first.

    (n, 4) -> (n,), -1 for the rest. For comparing rules at the same number of labels of each grade.
    """
    grades = np.full(len(posteriors), NO_GRADE, dtype=np.int64)
    for grade in sorted(range(N_GRADES), key=lambda item: numbers[item]):
        free = np.flatnonzero(grades == NO_GRADE)
        order = np.argsort(-posteriors[free, grade], kind="stable")
        grades[free[order[: numbers[grade]]]] = grade
    return grades
