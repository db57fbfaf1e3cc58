"""Head, torso and tail: queries by how much of the traffic they make up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

STRATA: Final = ("head", "torso", "tail")
BOUNDS: Final = (1 / 3, 2 / 3)
"""The most frequent queries that make up a third of the traffic are the head, the next third the torso
(chosen; studies of logs use thirds, halves and fixed counts alike)."""


Traffic = Callable[[int], "NDArray[np.float64] | None"]
"""By the number of a window: how often each query of its stream was asked, (m,)."""


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


def strata_by_window(
    lists: pd.DataFrame, query_index: NDArray[np.int64], traffic: Traffic
) -> NDArray[np.object_]:
    """The stratum that each query has in the traffic of its own window. (queries,), values of `STRATA`; ""
    where the query's rows or its window log no impressions, so that nobody knows.

    `lists`: n pairs with `impressions` and `window`, each query's of one window; `query_index` (n,), from 0
    without gaps; `traffic`: how often each query of a window's stream was asked, None where nobody knows.
    """
    _, first = np.unique(query_index, return_index=True)
    windows = lists["window"].to_numpy()
    asked = frequencies(lists, query_index, len(first))
    shown = pd.to_numeric(lists["impressions"], errors="coerce").to_numpy(dtype=np.float64) > 0
    known = np.zeros(len(first), dtype=bool)
    known[query_index[shown]] = True
    result = np.full(len(first), "", dtype=object)
    for window in np.unique(windows[shown]):
        stream = traffic(int(window))
        if stream is not None:
            own = known & (windows[first] == window)
            result[own] = strata(asked[own], stream)
    return result


def strata(asked: NDArray[np.float64], among: NDArray[np.float64] | None = None) -> NDArray[np.str_]:
    """The stratum of each of n queries by its frequency, in the traffic of m others, or of themselves. (n,),
    values of `STRATA`.

    It is by the share of the traffic that more frequent queries make up, so queries of one frequency share a
    stratum. Where all of the traffic's queries are alike there is no head, and all are tail.
    """
    of = asked if among is None else among
    if not len(asked) or not len(of) or of.min() == of.max():
        return np.full(len(asked), STRATA[-1])
    values, times = np.unique(of, return_counts=True)  # ascending
    above = of.sum() - np.cumsum(values * times)  # traffic of the more frequent ones
    place = np.searchsorted(values, asked, side="right") - 1  # the most frequent one that is no more frequent
    share = np.where(place < 0, 1.0, above[place] / of.sum())
    return np.asarray(np.asarray(STRATA)[np.searchsorted(BOUNDS, share, side="right")])
