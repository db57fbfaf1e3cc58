"""Groups of queries that may have become more or fewer: by a word, by likeness, by language.

Groups are made from earlier and current queries together, blind to which is which; that is what makes a test
of their sizes exact. A word finds a new name at once, whatever an encoder makes of it ("vooms"); a cluster
finds a topic that has no word of its own; a language finds a market. Groups overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
import regex  # type: ignore[import-untyped]
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.feature_extraction.text import CountVectorizer

from serm.relevance_model.base import FloatArray

Basis = Literal["word", "cluster", "language"]

PER_CLUSTER = 25  # queries that a cluster holds on average; chosen
MAX_CLUSTERS = 200
SMALLEST = 5  # queries of a group; chosen: fewer prove nothing at any usual level

_WORD = regex.compile(
    r"[\p{L}\p{N}\p{Pc}][\p{L}\p{N}\p{Pc}\p{M}\u200c\u200d]*(?:(?<=\p{L})(?:\+\+|\#)(?![\p{L}\p{N}]))?"
)
"""With the marks that write vowels, and joiners, which Python's own `\\w` cuts at; c++ and c# are not c."""
_WITHOUT_SPACES = regex.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")  # kana, han, thai
_CHARACTER = regex.compile(r"\X")  # with the marks upon it


@dataclass(frozen=True, slots=True)
class Group:
    basis: Basis
    name: str  # the word or the language; "" for a cluster
    rows: NDArray[np.int64]  # of the queries given


def query_groups(
    vectors: FloatArray, texts: Sequence[str], languages: Sequence[str], *, seed: int
) -> list[Group]:
    """All groups of n queries, those of fewer than `SMALLEST` left out. Texts and languages may be empty."""
    return [*_words(texts), *_clusters(vectors, seed), *_languages(languages)]


def whole_words(text: str) -> list[str]:
    """Runs of letters, digits and their marks, in lower case, whatever the script."""
    found: list[str] = _WORD.findall(text.lower())
    return found


def words_of(text: str) -> list[str]:
    """The words of a query, in lower case; pairs of characters in scripts that put no spaces between them."""
    words = whole_words(text)
    if not _WITHOUT_SPACES.search(text):
        return words
    found: list[str] = []
    for word in words:
        found += _pairs(word) if len(word) > 1 and _WITHOUT_SPACES.search(word) else [word]
    return found


def _pairs(word: str) -> list[str]:
    characters = _CHARACTER.findall(word)
    return ["".join(two) for two in pairwise(characters)] or [word]


def _words(texts: Sequence[str]) -> list[Group]:
    if len(texts) < SMALLEST:
        return []
    try:
        counter = CountVectorizer(analyzer=words_of, binary=True, min_df=SMALLEST)
        table = counter.fit_transform(texts).tocsc()
    except ValueError:  # no word is frequent enough
        return []
    starts = table.indptr
    return [
        Group("word", str(name), np.sort(table.indices[start:stop]).astype(np.int64))
        for name, start, stop in zip(counter.get_feature_names_out(), starts, starts[1:], strict=False)
    ]


def _clusters(vectors: FloatArray, seed: int) -> list[Group]:
    count = int(np.clip(len(vectors) // PER_CLUSTER, 2, MAX_CLUSTERS))
    if len(vectors) < 2 * SMALLEST:
        return []
    labels = (
        MiniBatchKMeans(n_clusters=count, random_state=seed, n_init=3, batch_size=1024, max_iter=50)
        .fit(vectors.astype(np.float32, copy=False))
        .labels_
    )
    return _by_code(np.asarray(labels), "cluster", [""] * count)


def _languages(languages: Sequence[str]) -> list[Group]:
    codes, names = pd.factorize(np.asarray(languages, dtype=object))
    return _by_code(codes, "language", [str(name) for name in names]) if len(names) > 1 else []


def _by_code(codes: NDArray[np.int64], basis: Basis, names: Sequence[str]) -> list[Group]:
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    groups = [Group(basis, names[i], order[bounds[i] : bounds[i + 1]]) for i in range(len(names))]
    return [group for group in groups if len(group.rows) >= SMALLEST]
