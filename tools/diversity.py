"""The order in which an agent's queries are opened, so that a share is spread over unlike queries.

Both take n unit vectors (n, d), the most wanted first, and return the numbers of the first `limit` to take.
Both start with the first one. Time is limit x n x d, memory linear in n.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serm.relevance_model.base import FloatArray

Ints = NDArray[np.int64]

_RELEVANCE: Final = 0.5  # its weight against novelty in MMR; chosen


def k_center(vectors: FloatArray, limit: int) -> Ints:
    """Greedy k-center (Gonzalez 1985; Sener and Savarese 2018): each is the farthest from those before."""
    order = np.zeros(min(len(vectors), limit), dtype=np.int64)
    nearest = np.full(len(vectors), np.inf)
    for step in range(1, len(order)):
        nearest = np.minimum(nearest, 1.0 - vectors @ vectors[order[step - 1]])
        nearest[order[step - 1]] = -np.inf
        order[step] = int(np.argmax(nearest))
    return order


def mmr(vectors: FloatArray, limit: int) -> Ints:
    """Maximal marginal relevance (Carbonell and Goldstein 1998): each is the best of how much it is wanted,
    less its cosine to the nearest one before. How much it is wanted goes by rank, from 1 down to 0: agents'
    scores have no common scale."""
    order = np.zeros(min(len(vectors), limit), dtype=np.int64)
    wanted = _RELEVANCE * np.linspace(1.0, 0.0, max(len(vectors), 1))
    likeness = np.full(len(vectors), -1.0)
    for step in range(1, len(order)):
        likeness = np.maximum(likeness, vectors @ vectors[order[step - 1]])
        likeness[order[step - 1]] = np.inf
        order[step] = int(np.argmax(wanted - (1.0 - _RELEVANCE) * likeness))
    return order


ORDERS: Final[Mapping[str, Callable[[FloatArray, int], Ints]]] = {"k_center": k_center, "mmr": mmr}
"""By `miner.diversity`."""
