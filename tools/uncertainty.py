"""How unsure the model is of a pair, from its calibrated grade distribution alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def entropy(probabilities: Floats) -> Floats:
    """Entropy of the grade in nats, 0 to ln 4 (the paper's MU, as summarised). (n, 4) -> (n,)."""
    p = np.clip(np.asarray(probabilities, dtype=np.float64), 0.0, 1.0)
    terms = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0)
    return np.asarray(np.maximum(-terms.sum(axis=1), 0.0), dtype=np.float32)


def margin(probabilities: Floats) -> Floats:
    """One minus the likeliest grade's lead over the second: 1 is a tie, 0 certainty. (n, 4) -> (n,)."""
    top = np.sort(np.asarray(probabilities, dtype=np.float64), axis=1)[:, -2:]
    return np.asarray(1.0 - (top[:, 1] - top[:, 0]), dtype=np.float32)


MEASURES: Final[Mapping[str, Callable[[Floats], Floats]]] = {"entropy": entropy, "margin": margin}
"""More is more uncertain, in each of them."""
