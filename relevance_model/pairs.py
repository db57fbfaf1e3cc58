"""Pairs by number: each text once, and for every pair the numbers of its texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.columns import document_text, language_code

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CodedPairs:
    """n pairs over u queries and v documents. Memory goes with the texts, beside 20 bytes a pair."""

    queries: Sequence[str]  # (u,), each once
    documents: Sequence[str]  # (v,), each once
    query: Ints  # (n,), rows of `queries`
    document: Ints  # (n,), rows of `documents`
    languages: Sequence[str] = ()  # each once; none where no language is known
    language: Ints | None = None  # (n,), rows of `languages`

    def __len__(self) -> int:
        return len(self.query)

    @classmethod
    def of(
        cls, queries: Sequence[str], documents: Sequence[str], languages: Sequence[str] | None = None
    ) -> Self:
        """From parallel lists, a row a pair. Raises ValueError where their lengths differ. `EN` is `en`."""
        if len(queries) != len(documents):
            raise ValueError(f"{len(queries)} queries and {len(documents)} documents do not pair up")
        if languages is not None and len(languages) != len(queries):
            raise ValueError(f"{len(languages)} languages and {len(queries)} queries do not pair up")
        known = None if languages is None else _coded([language_code(item or "") for item in languages])
        return cls(*_crossed(_coded(queries), _coded(documents)), *(known or ((), None)))

    @classmethod
    def of_frame(cls, frame: pd.DataFrame) -> Self:
        """From a pairs frame, in its order. Columns may be categorical, which saves looking at every text."""
        title, text = _coded(frame["title"]), _coded(frame["text"])
        joint, document = np.unique(title[1] * max(len(text[0]), 1) + text[1], return_inverse=True)
        of_title, of_text = np.divmod(joint, max(len(text[0]), 1))
        texts = document_text([title[0][row] for row in of_title], [text[0][row] for row in of_text])
        distinct, of_joint = _coded(texts)  # another cut into title and text may give the same document
        documents = distinct, of_joint[document]
        return cls(*_crossed(_coded(frame["query"]), documents), *_coded(frame["language"]))

    def take(self, rows: Ints) -> CodedPairs:
        """Some of the pairs, with their texts alone."""
        queries, query = np.unique(self.query[rows], return_inverse=True)
        documents, document = np.unique(self.document[rows], return_inverse=True)
        return CodedPairs(
            [self.queries[row] for row in queries],
            [self.documents[row] for row in documents],
            query.astype(np.int64),
            document.astype(np.int64),
            self.languages,
            None if self.language is None else self.language[rows],
        )

    def language_names(self, rows: slice) -> list[str] | None:
        """The language of each pair of a slice; None where none is known."""
        if self.language is None:
            return None
        return [self.languages[code] for code in self.language[rows].tolist()]


def _coded(texts: Iterable[Any]) -> tuple[list[str], Ints]:
    """Distinct texts in order of appearance, and for each text the number of its distinct one."""
    values = texts if isinstance(texts, pd.Series) else pd.Series(list(texts), dtype=object)
    codes, distinct = pd.factorize(values, use_na_sentinel=False)
    return ["" if pd.isna(text) else str(text) for text in distinct], codes.astype(np.int64)


def _crossed(
    queries: tuple[list[str], Ints], documents: tuple[list[str], Ints]
) -> tuple[list[str], list[str], Ints, Ints]:
    return queries[0], documents[0], queries[1], documents[1]
