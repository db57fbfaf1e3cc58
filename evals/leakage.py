"""Did anything of the gate or the tests get into a training set?

Three findings, treated differently:

- The same query id, or the same pair, stands on both sides: the sets overlap. `require_clean` raises.
- A training query reads like a held-out one under another id (two ids for one text are common in real logs):
  `kept_apart` takes its rows out, and the report counts them.
- A document stands on both sides: normal for a search engine, whose queries share one catalogue. Counted.

Two queries read alike when they have the same set of words after NFKC, case folding and the removal of
punctuation and symbols ("Shoes, red" and "red shoes"; also "c++" and "c": a row too many out is cheap).
A language without spaces is compared by its runs between punctuation, so there this finds the same text only.
Paraphrases and typing errors are not found. No grade is read here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.errors import DataError
from serm.core.records import PairKey

READ: Final = ("query_id", "doc_id", "query")
"""All that is looked at."""
_SHOWN: Final = 20  # findings of a kind that the JSON form lists

WordSet = frozenset[str]


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """A training query that reads like a query of a held-out set."""

    training_query_id: str
    held_out_query_id: str
    held_out: str  # name of the set


@dataclass(frozen=True, slots=True)
class LeakageReport:
    """What training and held-out sets have in common, by the name of the held-out set."""

    queries: tuple[tuple[str, str], ...]  # (held-out set, query id) on both sides
    pairs: tuple[tuple[str, PairKey], ...]
    near_duplicates: tuple[NearDuplicate, ...]  # one a training query and set
    rows_of_near_duplicates: int  # training rows of those queries
    shared_documents: tuple[tuple[str, int], ...]  # (held-out set, document ids on both sides)

    @property
    def clean(self) -> bool:
        """No query and no pair of a held-out set is trained on under its own id."""
        return not self.queries and not self.pairs

    def to_json(self) -> dict[str, Any]:
        return {
            "clean": self.clean,
            "queries": len(self.queries),
            "pairs": len(self.pairs),
            "near_duplicate_queries": len({item.training_query_id for item in self.near_duplicates}),
            "near_duplicate_rows": self.rows_of_near_duplicates,
            "near_duplicates": [
                {"training": item.training_query_id, "held_out": item.held_out_query_id, "set": item.held_out}
                for item in self.near_duplicates[:_SHOWN]
            ],
            "shared_documents": dict(self.shared_documents),
        }


def check_leakage(training: pd.DataFrame, held_out: Mapping[str, pd.DataFrame]) -> LeakageReport:
    """Compare a training set with the gate and the tests, given by name. Reads query_id, doc_id and query.

    A held-out frame without doc_id is compared by its queries alone.
    """
    documents = _distinct(training["doc_id"])
    trained: set[str] = set()
    by_words: dict[WordSet, list[str]] = {}
    for query_id, words in _queries(training):
        trained.add(query_id)
        by_words.setdefault(words, []).append(query_id)
    queries: list[tuple[str, str]] = []
    pairs: list[tuple[str, PairKey]] = []
    shared: list[tuple[str, int]] = []
    near: dict[tuple[str, str], NearDuplicate] = {}
    for name, frame in held_out.items():
        theirs = _queries(frame)
        both = trained & (ids := {query_id for query_id, _ in theirs})
        queries += [(name, item) for item in sorted(both)]
        if "doc_id" in frame:
            # No pair is on both sides whose query is not: usually there is nothing to compare.
            pairs += [(name, item) for item in sorted(_pairs(training, both) & _pairs(frame, both))]
            shared.append((name, len(documents & _distinct(frame["doc_id"]))))
        first: dict[WordSet, str] = {}
        for query_id, words in theirs:
            first.setdefault(words, query_id)
        for words, query_id in first.items():  # a common text may have thousands of ids on both sides
            for other in by_words.get(words, []):
                if other not in ids:  # the same id is no duplicate: it is in `queries`
                    near[other, name] = NearDuplicate(other, query_id, name)
    found = {item.training_query_id for item in near.values()}
    return LeakageReport(
        queries=tuple(queries),
        pairs=tuple(pairs),
        near_duplicates=tuple(near.values()),
        rows_of_near_duplicates=int(training["query_id"].astype(str).isin(found).sum()),
        shared_documents=tuple(shared),
    )


def kept_apart(
    tables: Sequence[pd.DataFrame], held_out: Mapping[str, pd.DataFrame]
) -> tuple[list[pd.DataFrame], LeakageReport]:
    """Training tables without the queries that read like held-out ones, and what was found in all of them.

    Raises DataError as `require_clean` does.
    """
    report = check_leakage(pd.concat([table[list(READ)] for table in tables], ignore_index=True), held_out)
    require_clean(report)
    return [without_near_duplicates(table, report) for table in tables], report


def require_clean(report: LeakageReport) -> None:
    """Raise DataError that names the query and the set, where a held-out query or pair is trained on."""
    remedy = "Sets are disjoint by query: look at data.sets, and at ids that were used twice."
    if report.pairs:
        name, key = report.pairs[0]
        raise DataError(
            f"{len(report.pairs)} pairs of held-out sets are in the training set; the first is query "
            f"{key.query_id!r}, document {key.doc_id!r} of `{name}`.",
            remedy,
        )
    if report.queries:
        name, query_id = report.queries[0]
        raise DataError(
            f"{len(report.queries)} queries of held-out sets are in the training set; the first is query "
            f"{query_id!r} of `{name}`.",
            remedy,
        )


def without_near_duplicates(training: pd.DataFrame, report: LeakageReport) -> pd.DataFrame:
    """The training rows whose query reads like no held-out query, renumbered."""
    found = {item.training_query_id for item in report.near_duplicates}
    return training[~training["query_id"].astype(str).isin(found)].reset_index(drop=True)


def word_set(query: str) -> WordSet:
    """What two queries are compared by; the folded text itself where nothing but punctuation is in it."""
    folded = unicodedata.normalize("NFKC", query).casefold()
    return frozenset(folded.translate(_PLAIN).split()) or frozenset({folded.strip()})


def reads_like(queries: Iterable[str], words: Set[WordSet]) -> NDArray[np.bool_]:
    """Which of n queries have one of these word sets: (n,) bool."""
    return np.array([word_set(str(query)) in words for query in queries], dtype=bool)


class _Plain(dict[int, int]):
    """Character: itself, or a blank for punctuation, symbols, separators and control characters."""

    def __missing__(self, code: int) -> int:
        self[code] = ord(" ") if unicodedata.category(chr(code))[0] in "PSZC" else code
        return self[code]


_PLAIN: Final = _Plain()
"""Filled as characters are met: every text is full of the same few."""


def _queries(frame: pd.DataFrame) -> list[tuple[str, WordSet]]:
    """Query ids and their words; an id that has several texts stands there with each of them."""
    distinct = frame[["query_id", "query"]].drop_duplicates()
    ids, texts = (distinct[name].astype(str).tolist() for name in ("query_id", "query"))
    return [(query_id, word_set(text)) for query_id, text in zip(ids, texts, strict=True)]


def _distinct(values: pd.Series) -> set[str]:
    return set(values.drop_duplicates().astype(str).tolist())


def _pairs(frame: pd.DataFrame, queries: set[str]) -> set[PairKey]:
    """The pairs of these queries."""
    rows = frame[frame["query_id"].astype(str).isin(queries)] if queries else frame.iloc[:0]
    ids, documents = (rows[name].astype(str).tolist() for name in ("query_id", "doc_id"))
    return {PairKey(*key) for key in zip(ids, documents, strict=True)}
