"""A labelled table as the arrays that training and calibration read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.columns import DISTRIBUTION, document_text
from serm.core.errors import ModelError
from serm.core.records import GRADES, N_GRADES
from serm.relevance_model.base import FloatArray


@dataclass(frozen=True, slots=True)
class Examples:
    """n labelled pairs."""

    queries: list[str]
    documents: list[str]
    languages: list[str]
    groups: NDArray[np.int64]  # (n,), the position of each row's query among the distinct query ids
    targets: FloatArray  # (n, 4), rows sum to 1

    def __len__(self) -> int:
        return len(self.queries)

    def query_weights(self) -> NDArray[np.float64]:
        """(n,), summing to 1: every query weighs the same, whatever its number of rows."""
        sizes = np.bincount(self.groups)
        weights: NDArray[np.float64] = 1.0 / (sizes[self.groups] * np.count_nonzero(sizes))
        return weights


def examples(frame: pd.DataFrame, *, soft: bool) -> Examples:
    """Read columns query_id, query, text, grade and, where there, title, language and p0..p3.

    With `soft`, the target is p0..p3 where a row has them; else it is the grade. ModelError for no rows.
    """
    if frame.empty:
        raise ModelError("there is no labelled pair to learn from.", "Label some pairs, or add a seed set.")
    grades = frame["grade"].to_numpy(dtype=np.int64)
    if not np.isin(grades, GRADES).all():
        raise ModelError(f"a grade outside {GRADES} reached the relevance model.")
    targets = np.eye(N_GRADES, dtype=np.float32)[grades]
    if soft and set(DISTRIBUTION) <= set(frame.columns):
        shares = frame[list(DISTRIBUTION)].to_numpy(dtype=np.float32)
        sums = shares.sum(axis=1, keepdims=True)
        told = np.isfinite(sums[:, 0]) & (sums[:, 0] > 0)
        targets[told] = shares[told] / sums[told]
    count = len(frame)
    titles = frame["title"].fillna("").tolist() if "title" in frame else [""] * count
    languages = frame["language"].fillna("").tolist() if "language" in frame else [""] * count
    groups, _ = pd.factorize(frame["query_id"])
    return Examples(
        frame["query"].tolist(),
        document_text(titles, frame["text"].tolist()),
        languages,
        groups.astype(np.int64),
        targets,
    )
