"""Where users and the model contradict each other: engaged though scored low, skipped though scored high."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serm.tools.click_model import ClickModel, Ints

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


@dataclass(frozen=True, slots=True)
class ClickLog:
    """n pairs whose log can be read, as arrays (n,) without NaN, and the click model fitted to them."""

    rows: Ints  # of the window
    position: Ints  # from 1
    group: Ints  # of pairs with like scores
    impressions: Floats
    clicks: Floats
    expected: Floats  # the model's score, in grades
    model: ClickModel


def skipped_high(log: ClickLog, *, high_score: float, probability: float) -> tuple[NDArray[np.int64], Floats]:
    """Rows that users never clicked while f > `high_score`, the most telling first.

    Being passed over at the bottom of a page says little, and so does being passed over once: a row counts
    where a pair of its group, shown as often at its position, would have got no click with at most
    `probability`, by the click model. The score is the surprise, minus the log of that chance, in nats.
    Returns rows of the window (k,) and scores (k,).
    """
    chance = log.model.propensity[log.position - 1] * log.model.attractiveness[log.group]
    surprise = -log.impressions * np.log1p(-np.clip(chance, 0.0, 1.0 - 1e-9))
    found = (log.clicks == 0) & (log.expected > high_score) & (surprise >= -np.log(probability))
    order = np.argsort(-surprise[found], kind="stable")
    return log.rows[found][order], surprise[found][order]
