"""Clicks and dwell by a position-based model (Richardson et al., 2007; Craswell et al., 2008)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from serm.benchmarks.marketplace.settings import Feedback


def examination(position: NDArray[np.int64], settings: Feedback) -> NDArray[np.float64]:
    """Probability that a result at a position (from 1) is looked at."""
    return np.asarray(position.astype(np.float64) ** -settings.examination)


def clicks(
    grade: NDArray[np.int8],
    position: NDArray[np.int64],
    impressions: NDArray[np.int64],
    settings: Feedback,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Clicks of n pairs: binomial, with probability examined(position) x attracted(grade)."""
    chance = examination(position, settings) * np.asarray(settings.attraction)[grade]
    return rng.binomial(impressions, chance)


def dwell(
    grade: NDArray[np.int8], clicked: NDArray[np.int64], settings: Feedback, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Mean seconds on the page over a pair's clicks; NaN where nobody clicked.

    Log-normal around the grade's median. The mean of k clicks is drawn as one log-normal with the spread
    divided by the square root of k, which keeps the median.
    """
    seen = clicked > 0
    spread = settings.dwell_spread / np.sqrt(np.maximum(clicked, 1))
    seconds = np.asarray(settings.dwell)[grade] * np.exp(spread * rng.standard_normal(len(grade)))
    return np.where(seen, np.round(seconds, 1), np.nan)
