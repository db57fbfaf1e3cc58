"""Queries on a plane: what a drift report draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from serm.relevance_model.base import FloatArray

Places = NDArray[np.float64]

MOST = 3_000
"""Queries a side that are drawn; more are a smear and a heavy file. Chosen."""


def query_map(reference: FloatArray, current: FloatArray) -> tuple[Places, Places]:
    """Places of (m, d) and (n, d) unit vectors by the two main components of both: (m, 2), (n, 2)."""
    pooled = np.concatenate([reference, current])
    places = PCA(n_components=2, random_state=0).fit_transform(pooled).astype(np.float64)
    return places[: len(reference)], places[len(reference) :]


def drawn_rows(count: int, keep: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """At most `MOST` of so many rows, at random, those to `keep` always among them."""
    if count <= MOST:
        return np.arange(count, dtype=np.int64)
    others = np.setdiff1d(np.arange(count), keep)
    room = max(MOST - len(keep), 0)
    chosen = np.random.default_rng(seed).choice(others, min(room, len(others)), replace=False)
    return np.sort(np.concatenate([keep, chosen])).astype(np.int64)
