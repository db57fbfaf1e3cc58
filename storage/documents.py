"""Joins pairs with texts that stand in files of their own, as in BEIR and TREC, without holding a corpus."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from serm.core.records import Reject
from serm.storage.artifacts import storage_errors
from serm.storage.read_records import DOCUMENT_FIELDS, QUERY_FIELDS, read_records
from serm.storage.rejects import RejectLog

NO_QUERY = "its query is not in the file of queries"
NO_DOCUMENT = "its document is not in the corpus"
ANOTHER_TEXT = "the id was there before, with another text"


class RawRow(NamedTuple):
    """A line of qrels or of a run."""

    number: int
    query_id: str
    doc_id: str
    grade: str | None
    position: str | None


class Texts:
    """The queries in memory, the documents that are asked for in a temporary SQLite file."""

    def __init__(self, queries: Mapping[str, str]) -> None:
        self._queries = queries
        self._folder = tempfile.TemporaryDirectory(prefix="serm-corpus-")
        with storage_errors(Path(self._folder.name)):
            self._documents = sqlite3.connect(Path(self._folder.name) / "corpus.sqlite")
            self._documents.execute("PRAGMA journal_mode=OFF")
            self._documents.execute("PRAGMA synchronous=OFF")
            self._documents.execute("CREATE TABLE documents (id TEXT PRIMARY KEY, title TEXT, text TEXT)")

    @classmethod
    def load(cls, queries: Path, corpus: Path, wanted: Set[str], rejects: RejectLog) -> Self:
        """Read all queries, and of the corpus the documents that are `wanted`.

        Of an id that comes again the first text holds; a further one that says something else is rejected.
        """
        found: dict[str, str] = {}
        for number, row in read_records(queries, QUERY_FIELDS, rejects):
            if found.setdefault(row["id"], row["text"]) != row["text"]:
                rejects.add(Reject(str(queries), number, "id", ANOTHER_TEXT))
        texts = cls(found)
        for number, row in read_records(corpus, DOCUMENT_FIELDS, rejects):
            if row["id"] in wanted and not texts._keep(row["id"], row["title"], row["text"]):
                rejects.add(Reject(str(corpus), number, "id", ANOTHER_TEXT))
        return texts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._documents.close()
        self._folder.cleanup()

    def join(self, rows: Sequence[RawRow], file: Path, split: str, rejects: RejectLog) -> pd.DataFrame:
        """Raw rows with their texts, as the checks take them; rows without a text are rejected."""
        found = self._find({row.doc_id for row in rows})
        known: list[tuple[object, ...]] = []
        for row in rows:
            if row.query_id not in self._queries:
                rejects.add(Reject(str(file), row.number, "query_id", NO_QUERY))
            elif row.doc_id not in found:
                rejects.add(Reject(str(file), row.number, "doc_id", NO_DOCUMENT))
            else:
                query = self._queries[row.query_id]
                known.append((row.query_id, row.doc_id, query, *found[row.doc_id], row.grade, row.position))
        names = ("query_id", "doc_id", "query", "title", "text", "grade", "position")
        frame = pd.DataFrame(known, columns=pd.Index(names), dtype=object)
        frame["split"] = split
        kept = [row.number for row in rows if row.query_id in self._queries and row.doc_id in found]
        frame["row"] = np.array(kept, dtype=np.int64)
        return frame

    def _keep(self, doc_id: str, title: str, text: str) -> bool:
        """Keep a document, unless its id is there. Whether the id now stands for this text."""
        with storage_errors(Path(self._folder.name)):
            done = self._documents.execute(
                "INSERT OR IGNORE INTO documents VALUES (?, ?, ?)", (doc_id, title, text)
            )
            if done.rowcount:
                return True
            there = self._documents.execute("SELECT title, text FROM documents WHERE id = ?", (doc_id,))
            return bool(there.fetchone() == (title, text))

    def _find(self, ids: Set[str]) -> dict[str, tuple[str, str]]:
        found = {}
        with storage_errors(Path(self._folder.name)):
            for doc_id in ids:
                row = self._documents.execute(
                    "SELECT title, text FROM documents WHERE id = ?", (doc_id,)
                ).fetchone()
                if row:
                    found[doc_id] = row
        return found
