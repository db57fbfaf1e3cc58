"""Head, torso and tail: queries by how much of the traffic they make up."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

STRATA: Final = ("head", "torso", "tail")
BOUNDS: Final = (1 / 3, 2 / 3)
"""The most frequent queries that make up a third of the traffic are the head, the next third the torso
(chosen; studies of logs use thirds, halves and fixed counts alike)."""


def frequencies(window: pd.DataFrame, query_index: NDArray[np.int64], queries: int) -> NDArray[np.float64]:
    """How often each query was asked in a window: (queries,).

    The most impressions that one of its pairs had (every time the query is asked its results are shown once);
    1 for a query whose log has none.
    """
    shown = pd.to_numeric(window["impressions"], errors="coerce").to_numpy(dtype=np.float64, copy=True)
    shown[~(shown > 0)] = 1.0
    asked = np.ones(queries)
    np.maximum.at(asked, query_index, shown)
    return asked


def logged_frequencies(
    window: pd.DataFrame, query_index: NDArray[np.int64], queries: int
) -> NDArray[np.float64] | None:
    """The same; None where the log has no impressions at all."""
    shown = pd.to_numeric(window["impressions"], errors="coerce").to_numpy(dtype=np.float64)
    return frequencies(window, query_index, queries) if bool((shown > 0).any()) else None


def strata_by_window(gate: pd.DataFrame, query_index: NDArray[np.int64]) -> NDArray[np.object_]:
    """The stratum of each query among those of its own window. (queries,), values of `STRATA`; "" where the
    window's rows log no impressions, so that nobody knows.

    `gate`: query_id's rows of n pairs with `impressions` and `window`; `query_index` (n,), from 0 without
    gaps.
    """
    _, first = np.unique(query_index, return_index=True)
    windows = gate["window"].to_numpy()
    asked = frequencies(gate, query_index, len(first))
    shown = pd.to_numeric(gate["impressions"], errors="coerce").to_numpy(dtype=np.float64) > 0
    result = np.full(len(first), "", dtype=object)
    for window in np.unique(windows[shown]):
        own = windows[first] == window
        result[own] = strata(asked[own])
    return result


def strata(asked: NDArray[np.float64]) -> NDArray[np.str_]:
    """The stratum of each of n queries by its frequency. (n,), values of `STRATA`.

    Queries of one frequency share a stratum: that of the first of them in order of frequency. Where all are
    alike there is no head, and all are tail.
    """
    if not len(asked) or asked.min() == asked.max():
        return np.full(len(asked), STRATA[-1])
    order = np.argsort(-asked, kind="stable")
    reached = (np.cumsum(asked[order]) - asked[order]) / asked.sum()  # traffic of the more frequent ones
    values, first = np.unique(-asked[order], return_index=True)
    share = reached[first][np.searchsorted(values, -asked)]
    return np.asarray(np.asarray(STRATA)[np.searchsorted(BOUNDS, share, side="right")])
