"""Queries of one stretch of the stream, as drift is looked for among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from serm.relevance_model.base import FloatArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """The queries of one part of the stream, each once, and how often each was asked; None: not logged."""

    names: Sequence[str]
    times: Floats | None = None


@dataclass(frozen=True)
class Outputs:
    """Mean grade distributions of the pairs of k queries, (k, 4), and how often each was asked, (k,)."""

    distributions: FloatArray
    times: Floats | None = None


@dataclass(frozen=True)
class QuerySample:
    """m queries: unit vectors (m, d), and what a report tells of them. A list may be empty: not known."""

    embeddings: FloatArray
    names: Sequence[str] = ()  # their texts
    languages: Sequence[str] = ()
    outputs: Callable[[], Outputs] | None = None
    """What the model in use says of queries' pairs; of earlier queries those of the last window before alone.
    Asked for when a test needs it: it means scoring their pairs."""
    counts: NDArray[np.bool_] | None = None
    """(m,): the queries that tests count (tools/exposure.py); None: all."""
    requests: float | None = None
    """Of each stretch among earlier queries: what they are compared with is thinned to as many. None: not
    known."""
    every: Callable[[], frozenset[str]] | None = None
    """The texts of all earlier queries, where the sample is a part of them; None: it is all."""
    spoken: frozenset[str] = frozenset()
    """Of earlier queries: the languages that come into question where the log names none, there and in the
    window that is compared with them."""

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(m,): True for the queries that tests count."""
        return np.ones(len(self), dtype=bool) if self.counts is None else self.counts

    @property
    def compared(self) -> QuerySample:
        """Those queries alone."""
        if self.counts is None:
            return self
        rows = np.flatnonzero(self.counts)
        places = rows.tolist()
        names, languages = (
            [of[row] for row in places] if len(of) else () for of in (self.names, self.languages)
        )
        return replace(self, embeddings=self.embeddings[rows], names=names, languages=languages, counts=None)


def query_means(values: FloatArray, query_index: NDArray[np.int64], queries: int) -> FloatArray:
    """Mean of (n, ...) values of pairs over each query's pairs: (queries, ...); zeros where it has none."""
    sums = np.zeros((queries, *values.shape[1:]))
    np.add.at(sums, query_index, values)
    counts = np.maximum(np.bincount(query_index, minlength=queries), 1)
    return np.asarray(sums / counts.reshape(-1, *[1] * (values.ndim - 1)), dtype=np.float32)
