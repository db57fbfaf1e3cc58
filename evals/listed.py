"""Which rows of a frame, in which a pair stands once, each window's lists hold.

A query that is asked every week has a list of documents in each window, most of them the same. What a model
makes of the newest window is measured on the whole list that was shown there, not on the few documents of it
that no window had before.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.columns import KEY

WindowRows = Mapping[int, NDArray[np.int64]]
"""Of each window the rows of a frame that it holds, in their order."""


def rows_by_window(frame: pd.DataFrame, lists: pd.DataFrame) -> WindowRows:
    """`frame`: query_id, doc_id, a pair once; `lists`: query_id, doc_id, window, a pair once a window. Pairs
    that the frame has not are of no window."""
    places = frame[[*KEY]].assign(row=np.arange(len(frame)))
    both = lists[[*KEY, "window"]].merge(places, on=[*KEY])
    windows, rows = both["window"].to_numpy(), both["row"].to_numpy(np.int64)
    return {int(window): np.sort(rows[windows == window]) for window in np.unique(windows)}
