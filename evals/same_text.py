"""Queries that are one text under several ids, as logs with an id for each session or request have them.

Their changes are not several pieces of evidence: intervals count and draw texts, not ids.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.evals.leakage import word_set


def texts_of(frame: pd.DataFrame) -> pd.Series[Any]:
    """For every row what its query is known by: its set of words and its language; where a frame has no
    `query`, its query_id. Index as the frame's."""
    if "query" not in frame:
        return frame["query_id"].astype(str)
    words = {str(query): " ".join(sorted(word_set(str(query)))) for query in frame["query"].unique()}
    text = frame["query"].astype(str).map(words)
    if "language" not in frame:
        return text
    return text + "\t" + frame["language"].astype("str").fillna("")


def mixed_texts(gate: pd.DataFrame) -> pd.Series[int]:
    """Of a graded frame: the pairs of each text some id of which has more than one grade."""
    found = gate.assign(text=texts_of(gate)).groupby(["text", "query_id"])["grade"].agg(["nunique", "size"])
    every = found.groupby("text").agg({"nunique": "max", "size": "sum"})
    return every.loc[every["nunique"] > 1, "size"]


def mean_by_text(values: pd.Series[float], texts: pd.Series[Any]) -> NDArray[np.float64]:
    """(t,): the mean over the ids of each text, in the order in which texts come; without NaN."""
    kept = values.notna()
    means = values[kept].groupby(texts[kept], sort=False).mean()
    return np.asarray(means, dtype=np.float64)
