"""How many queries lie around a query, and how far it is from all that was seen before.

A doubt about a query that nobody repeats is worth less than the same doubt in a crowd: the label serves one
query alone (information density, Settles and Craven, EMNLP 2008). Both measures compare with a random part of
the other queries, so that time and memory are linear in their number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from serm.relevance_model.base import FloatArray

NEIGHBOURS = 5  # chosen: a topic of so many queries is no outlier
COMPARED = 2_000  # queries to compare with, at most; chosen
BLOCK = 4_096


def density(vectors: FloatArray, *, seed: int, neighbours: int = NEIGHBOURS) -> NDArray[np.float64]:
    """Mean cosine of each of n unit vectors to its nearest `neighbours` others, 0 (alone) to 1. (n,).

    With more than `COMPARED` rows the neighbours are looked for among so many, drawn at random.
    """
    n = len(vectors)
    if n < 2:
        return np.ones(n)
    drawn = _drawn(n, seed)
    count = min(neighbours, len(drawn) - 1)
    result = np.empty(n)
    for start in range(0, n, BLOCK):
        rows = np.arange(start, min(start + BLOCK, n))
        likeness = (vectors[rows] @ vectors[drawn].T).astype(np.float64)
        likeness[rows[:, None] == drawn[None, :]] = -1.0  # not itself
        nearest = np.partition(likeness, -count, axis=1)[:, -count:]
        result[rows] = np.clip(nearest.mean(axis=1), 0.0, 1.0)
    return result


def novelty(vectors: FloatArray, before: FloatArray) -> NDArray[np.float64]:
    """One minus the cosine of each of n unit vectors to the nearest of (m, d) earlier ones, 0 to 1. (n,).

    1 for all where there are no earlier ones. All that are given are looked at: of a draw of them the nearest
    is too far away.
    """
    if not len(before):
        return np.ones(len(vectors))
    result = np.empty(len(vectors))
    block = max(1, BLOCK * COMPARED // max(len(before), COMPARED))
    for start in range(0, len(vectors), block):
        stop = min(start + block, len(vectors))
        result[start:stop] = 1.0 - (vectors[start:stop] @ before.T).max(axis=1)
    return np.clip(result, 0.0, 1.0)


def _drawn(n: int, seed: int) -> NDArray[np.int64]:
    if n <= COMPARED:
        return np.arange(n, dtype=np.int64)
    return np.sort(np.random.default_rng([seed, n]).choice(n, COMPARED, replace=False)).astype(np.int64)
