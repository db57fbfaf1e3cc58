"""Queries of one stretch of the stream, as drift is looked for among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serm.relevance_model.base import FloatArray


@dataclass(frozen=True)
class QuerySample:
    """m queries: unit vectors (m, d), and what a report tells of them. A list may be empty: not known."""

    embeddings: FloatArray
    names: Sequence[str] = ()  # their texts
    languages: Sequence[str] = ()
    outputs: Callable[[], FloatArray] | None = None
    """(k, 4): the mean grade distributions of queries' pairs under the model in use; of earlier queries those
    of the last window before alone. Asked for when a test needs it: it means scoring their pairs."""

    def __len__(self) -> int:
        return len(self.embeddings)


def query_means(values: FloatArray, query_index: NDArray[np.int64], queries: int) -> FloatArray:
    """Mean of (n, ...) values of pairs over each query's pairs: (queries, ...); zeros where it has none."""
    sums = np.zeros((queries, *values.shape[1:]))
    np.add.at(sums, query_index, values)
    counts = np.maximum(np.bincount(query_index, minlength=queries), 1)
    return np.asarray(sums / counts.reshape(-1, *[1] * (values.ndim - 1)), dtype=np.float32)
