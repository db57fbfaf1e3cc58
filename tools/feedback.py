"""Pairs that users engaged with although the model scores them low."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def engaged(clicks: Floats, dwell: Floats, dwell_engaged: float) -> Mask:
    """Clicked, and stayed for `dwell_engaged` seconds (tau_u) or more; a click counts alone where no dwell is
    logged. Missing values are NaN. (n,), (n,) -> (n,)."""
    clicked = np.nan_to_num(clicks) > 0
    return clicked & (np.isnan(dwell) | (dwell >= dwell_engaged))


def engaged_low(
    clicks: Floats, dwell: Floats, expected: NDArray[np.float32], *, dwell_engaged: float, low_score: float
) -> tuple[NDArray[np.int64], Floats]:
    """Rows that users engaged with while f < `low_score` (tau_c), the clearest contradiction first.

    The score is how far f lies under `low_score`, in grades, times 1 + ln(clicks): repeated engagement is
    harder evidence. Returns rows (k,) and scores (k,).
    """
    rows = np.flatnonzero(engaged(clicks, dwell, dwell_engaged) & (expected < low_score))
    scores = (low_score - expected[rows].astype(np.float64)) * (1.0 + np.log(np.maximum(clicks[rows], 1.0)))
    order = np.argsort(-scores, kind="stable")
    return rows[order], scores[order]
