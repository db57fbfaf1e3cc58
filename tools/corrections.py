"""P-values of many tests at once, corrected so that false alarms stay at the level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def holm(p_values: Floats) -> Floats:
    """Holm's step-down correction of k p-values (k,): the chance of any false alarm stays at the level."""
    order = np.argsort(p_values, kind="stable")
    steps = np.minimum(p_values[order] * np.arange(len(p_values), 0, -1), 1.0)
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(steps)
    return corrected


def benjamini_hochberg(p_values: Floats) -> Floats:
    """Correction of k p-values (k,) by Benjamini and Hochberg (1995).

    Of the alarms that are raised a share of at most the level is false in the long run; where nothing is
    true, the chance of any alarm is the level.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.minimum(p_values[order] * len(p_values) / np.arange(1, len(p_values) + 1), 1.0)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum.accumulate(steps[::-1])[::-1]
    return corrected


def discrete(p_values: Floats, least: Floats, level: float) -> Floats:
    """Benjamini and Hochberg's correction of k p-values of discrete tests (k,), at `level` alone.

    `least` (k,): the smallest p-value that each test could have given. Tests that could never have reached
    level / K are left out, and get 1: K is the smallest number such that at most K tests could (Tarone,
    Biometrics 1990; with the false discovery rate, Gilbert, Applied Statistics 2005). What is left out
    depends on `least` alone, so the others' correction holds as if they had been all.
    """
    able = np.sort(least)
    counts = np.arange(1, len(able) + 1)
    fits = np.flatnonzero(np.searchsorted(able, level / counts, side="right") <= counts)
    corrected = np.ones(len(p_values))
    if len(fits):
        testable = least <= level / counts[fits[0]]
        corrected[testable] = benjamini_hochberg(p_values[testable])
    return corrected
