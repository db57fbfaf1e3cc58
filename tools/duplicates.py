"""Which pairs of a window say again what a taken one says: queries and documents by text and by vector."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np

from serm.core.columns import document_text
from serm.relevance_model.base import FloatArray
from serm.tools.desk import Ints, MiningDesk
from serm.tools.near_duplicates import DOCUMENT_WORDS, QUERY_WORDS, SeenTexts

_COMPARED: Final = 256


class TakenPairs:
    """The pairs of a sample. Queries that read alike, under whatever id, count as one query.

    For one query no two documents are taken whose texts are the same or nearly so (`near_text`), or whose
    vectors are (`near_duplicate`). Of the documents whose texts are alike the first taken one stands for all.
    A query of more than `_COMPARED` documents is compared by vector with the first of them alone, so that the
    work stays linear; by text it is compared with all.
    """

    def __init__(self, desk: MiningDesk) -> None:
        self._desk = desk
        self._queries = SeenTexts(desk.settings.near_text, QUERY_WORDS)
        self._documents = SeenTexts(desk.settings.near_text, DOCUMENT_WORDS)
        self._query_of: dict[int, int] = {}
        self._pairs: set[tuple[int, int]] = set()
        self._vectors: dict[int, list[FloatArray]] = {}  # of the documents that each query has
        self._count: dict[int, int] = {}  # of pairs

    def add(self, row: int, limit: int | None = None) -> bool:
        """Take a row of the window, unless it says what a taken one says or its query has `limit` pairs."""
        query = self._query(row)
        vectors = self._vectors.setdefault(query, [])
        if limit is not None and self._count.get(query, 0) >= limit:
            return False
        document = int(self._desk.document_index[row])
        vector = self._desk.document_embeddings[document]
        if vectors and float((np.asarray(vectors) @ vector).max()) >= self._desk.settings.near_duplicate:
            return False
        text = self._text(document)
        known = [*self._documents.alike(text)]
        if any((query, number) in self._pairs for number in known):
            return False
        self._pairs.add((query, known[0] if known else self._documents.append(text)))
        self._count[query] = self._count.get(query, 0) + 1
        if len(vectors) < _COMPARED:
            vectors.append(vector)
        return True

    def _query(self, row: int) -> int:
        """The number of the first query that reads like that of a row."""
        index = int(self._desk.query_index[row])
        if index not in self._query_of:
            self._query_of[index] = self._queries.add(self._desk.query_names[index])
        return self._query_of[index]

    def _text(self, document: int) -> str:
        row = int(self._first_rows[document])
        title, text = (column[row] for column in self._columns)
        return document_text([title], [text])[0]

    @cached_property
    def _columns(self) -> tuple[Sequence[str], ...]:
        """Titles and texts by row: a frame takes many times longer to look a cell up."""
        return tuple(self._desk.window[name].array for name in ("title", "text"))

    @cached_property
    def _first_rows(self) -> Ints:
        """(documents,): the first row of each document."""
        rows = np.zeros(len(self._desk.document_embeddings), dtype=np.int64)
        rows[self._desk.document_index[::-1]] = np.arange(len(self._desk.document_index))[::-1]
        return rows
