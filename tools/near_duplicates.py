"""Texts that say the same as an earlier one: exactly, or nearly, by MinHash and locality-sensitive hashing.

A text is compared by its shingles (runs of words). MinHash (Broder 1997) with banded LSH, by `datasketch`,
names the few earlier texts that may be alike; their Jaccard similarity is then computed and not estimated, so
that what is found is alike, while of what is alike a little may be missed (under 1% at the threshold).
Texts with other numbers in them are never alike: "iphone 12" is not "iphone 13", whatever they share.

Listings of one template meet in many bands without being alike. Of those that meet the likest by their
hashes alone are compared, so that each text is compared with few; the memory is linear in those that were
added.
"""

from __future__ import annotations

import math
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serm.tools.query_groups import whole_words, words_of

QUERY_WORDS: Final = 1
"""A query is its set of words: "shoes, red" reads like "red shoes"."""
DOCUMENT_WORDS: Final = 3
"""Words of a document's shingle; chosen: a document of few words is like no other than itself."""

_PERMUTATIONS: Final = 128
_MISSED: Final = 0.01
_COMPARED: Final = 32  # earlier texts whose shingles are compared with those of one, at most; chosen
_DOUBT: Final = 3.0  # standard errors of a similarity that is estimated by hashes
_GROWTH: Final = 256
_KEPT: Final = 20_000  # sketches in memory: a document is looked at for every query that it answers
_READ: Final = 20_000  # characters of a text that are compared


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a text is compared by."""

    exact: str  # folded: other case, other width and other blanks are the same text
    shingles: NDArray[np.uint32]  # distinct hashes, sorted
    numbers: frozenset[str]  # words with a digit in them


class SeenTexts:
    """Texts, numbered from 0 as they were added. `find` names the first added one that a text is like."""

    def __init__(self, likeness: float, words: int) -> None:
        """`likeness`: the Jaccard similarity of two sets of shingles of `words` words from which on two texts
        are alike, over 0, at most 1."""
        self._likeness, self._words = likeness, words
        self._exact: dict[str, int] = {}
        self._added: list[Sketch] = []
        self._hashes = np.empty((_GROWTH, _PERMUTATIONS), dtype=np.uint32)  # of those that were added
        self._sketch = lru_cache(_KEPT)(self._make_sketch)
        self._hashed = lru_cache(_KEPT)(self._make_hashed)
        self._empty, self._index = _minhash(likeness)

    def __len__(self) -> int:
        return len(self._added)

    def find(self, text: str) -> int | None:
        same = self._exact.get(self._sketch(text).exact)
        return next(self.alike(text), None) if same is None else same

    def alike(self, text: str) -> Iterator[int]:
        """All added ones that a text is like, ascending; of many that are nearly so the likest."""
        sketch = self._sketch(text)
        same = self._exact.get(sketch.exact)
        likely = self._likely(self._hashed(text)) if len(sketch.shingles) else []
        for number in sorted({*likely, *([] if same is None else [same])}):
            if number == same or self._alike(sketch, self._added[number]):
                yield number

    def add(self, text: str) -> int:
        """The number of the first text like it; its own, as a new one, where there is none."""
        found = self.find(text)
        return self.append(text) if found is None else found

    def append(self, text: str) -> int:
        """The number of a text that is like none: `find` says so."""
        sketch, number = self._sketch(text), len(self._added)
        self._added.append(sketch)
        self._exact[sketch.exact] = number
        if number == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.empty_like(self._hashes)])
        if len(sketch.shingles):
            hashed = self._hashed(text)
            self._hashes[number] = hashed.hashvalues
            self._index.insert(number, hashed)
        return number

    def _likely(self, hashed: Any) -> list[int]:
        """Numbers, ascending, of the added texts that may be alike: of those that meet in a band the ones
        whose hashes agree about as often as alike texts' do, the `_COMPARED` likest of them."""
        met = np.array(sorted(self._index.query(hashed)), dtype=np.int64)
        shared = (self._hashes[met] == hashed.hashvalues.astype(np.uint32)).mean(axis=1)
        least = self._likeness - _DOUBT * math.sqrt(self._likeness * (1 - self._likeness) / _PERMUTATIONS)
        likest = np.argsort(-shared, kind="stable")[:_COMPARED]
        return sorted(met[likest[shared[likest] >= least]].tolist())

    def _alike(self, left: Sketch, right: Sketch) -> bool:
        return left.numbers == right.numbers and jaccard(left.shingles, right.shingles) >= self._likeness

    def _make_sketch(self, text: str) -> Sketch:
        return sketch_of(text, self._words)

    def _make_hashed(self, text: str) -> Any:
        """Texts with other numbers have no hash in common: listings that differ in these alone would all meet
        in every band, and each be compared with all before it."""
        sketch, hashed = self._sketch(text), self._empty.copy()
        apart = np.uint32(zlib.crc32(" ".join(sorted(sketch.numbers)).encode())) if sketch.numbers else 0
        hashed.update_batch(sketch.shingles ^ apart)
        return hashed


def sketch_of(text: str, words: int) -> Sketch:
    """The sketch of a text, of shingles of `words` words; of fewer where it has not so many."""
    folded = unicodedata.normalize("NFKC", text[:_READ]).casefold()
    said = words_of(folded)
    runs = {" ".join(said[i : i + words]) for i in range(max(1, len(said) - words + 1))} - {""}
    hashes = np.array([zlib.crc32(run.encode()) for run in runs], dtype=np.uint32)
    # Of whole words: the pairs that Chinese is compared by would make 1000 of 10000.
    numbers = frozenset(word for word in whole_words(folded) if any(map(str.isdecimal, word)))
    return Sketch(" ".join(folded.split()), np.unique(hashes), numbers)


def jaccard(left: NDArray[np.uint32], right: NDArray[np.uint32]) -> float:
    """Of two sorted sets; 1 for two empty ones."""
    both = len(np.intersect1d(left, right, assume_unique=True))
    either = len(left) + len(right) - both
    return both / either if either else 1.0


def _minhash(likeness: float) -> tuple[Any, Any]:
    """A MinHash of nothing, to copy, and an index that misses few texts of at least `likeness`."""
    from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]

    index = MinHashLSH(num_perm=_PERMUTATIONS, params=bands(likeness))
    return MinHash(num_perm=_PERMUTATIONS, seed=1, hashfunc=int), index


def bands(likeness: float) -> tuple[int, int]:
    """How many bands of how many rows: the longest bands that miss at most `_MISSED` of the texts that are
    just so much alike. Two texts of Jaccard similarity s meet in a band of r rows with probability s^r."""
    fitting = (
        (_PERMUTATIONS // rows, rows)
        for rows in range(_PERMUTATIONS // 2, 1, -1)
        if (1 - likeness**rows) ** (_PERMUTATIONS // rows) <= _MISSED
    )
    return next(fitting, (_PERMUTATIONS, 1))
