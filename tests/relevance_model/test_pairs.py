"""Pairs by number."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serm.core.columns import document_text
from serm.relevance_model.pairs import CodedPairs

words = st.sampled_from(["", "a", "b", "a\nb", "ä"])
frames = st.lists(st.tuples(words, words, words, words), max_size=12).map(
    lambda rows: pd.DataFrame(rows, columns=["query", "title", "text", "language"], dtype=object)
)


def _told(pairs: CodedPairs) -> list[tuple[str, str, str]]:
    languages = pairs.language_names(slice(None)) or [""] * len(pairs)
    return [
        (pairs.queries[query], pairs.documents[document], language)
        for query, document, language in zip(pairs.query, pairs.document, languages, strict=True)
    ]


@given(frames, st.booleans())
def test_every_row_keeps_its_texts_and_no_text_stands_twice(frame: pd.DataFrame, coded: bool) -> None:
    given = frame.astype({"query": "category", "title": "category", "text": "category"}) if coded else frame
    pairs = CodedPairs.of_frame(given)
    documents = document_text(frame["title"], frame["text"])
    assert _told(pairs) == list(zip(frame["query"], documents, frame["language"], strict=True))
    for texts in (pairs.queries, pairs.documents, pairs.languages):
        assert len(set(texts)) == len(texts)


@given(frames, st.data())
def test_some_pairs_come_with_their_texts_alone(frame: pd.DataFrame, data: st.DataObject) -> None:
    pairs = CodedPairs.of_frame(frame)
    rows = data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=8) if len(frame) else st.just([]))
    some = pairs.take(np.array(rows, dtype=np.int64))
    assert _told(some) == [_told(pairs)[row] for row in rows]
    assert set(some.queries) == {query for query, _, _ in _told(some)}
    assert set(some.documents) == {document for _, document, _ in _told(some)}


def test_a_missing_text_is_an_empty_one() -> None:
    frame = pd.DataFrame(
        {"query": ["a", "a"], "title": [None, ""], "text": ["t", "t"], "language": ["", None]}
    )
    pairs = CodedPairs.of_frame(frame)
    assert list(pairs.documents) == ["t"]
    assert pairs.language_names(slice(None)) == ["", ""]


def test_lists_of_different_length_do_not_pair_up() -> None:
    with pytest.raises(ValueError, match="1 queries and 2 documents"):
        CodedPairs.of(["a"], ["b", "c"])


def test_languages_are_one_for_each_pair_and_one_whatever_their_case() -> None:
    with pytest.raises(ValueError, match="1 languages and 2 queries do not pair up"):
        CodedPairs.of(["q", "r"], ["d", "e"], ["en"])
    assert CodedPairs.of(["q", "r"], ["d", "e"], ["EN", "en"]).languages == ["en"]
