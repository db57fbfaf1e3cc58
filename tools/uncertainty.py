"""How unsure the model is of a pair, from its calibrated grade distributions alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def entropy(probabilities: Floats) -> Floats:
    """Entropy of the grade in nats, 0 to ln 4 (the paper's MU, as summarised). (..., 4) -> (...)."""
    p = np.clip(np.asarray(probabilities, dtype=np.float64), 0.0, 1.0)
    terms = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0)
    return np.asarray(np.maximum(-terms.sum(axis=-1), 0.0), dtype=np.float32)


def margin(probabilities: Floats) -> Floats:
    """One minus the likeliest grade's lead over the second: 1 is a tie, 0 certainty. (n, 4) -> (n,)."""
    top = np.sort(np.asarray(probabilities, dtype=np.float64), axis=1)[:, -2:]
    return np.asarray(1.0 - (top[:, 1] - top[:, 0]), dtype=np.float32)


def bald(passes: Floats) -> Floats:
    """Mutual information of the grade and the weights, in nats: how much a label would tell of the model.

    The entropy of the mean distribution less the mean entropy of the passes: doubt that every pass shares
    (the pair itself is unclear) does not count. (K, n, 4) -> (n,), 0 to ln 4. Source: Houlsby et al. 2011;
    under dropout, Gal, Islam and Ghahramani, ICML 2017. Raises ValueError with fewer than two passes.
    """
    if passes.ndim != 3 or len(passes) < 2:
        raise ValueError(f"BALD needs at least two passes of grade distributions, not shape {passes.shape}")
    mean = np.asarray(passes, dtype=np.float64).mean(axis=0)
    shared = entropy(passes).mean(axis=0, dtype=np.float64)
    information = entropy(np.asarray(mean)).astype(np.float64) - shared
    return np.asarray(np.maximum(information, 0.0), dtype=np.float32)


MEASURES: Final[Mapping[str, Callable[[Floats], Floats]]] = {"entropy": entropy, "margin": margin}
"""Of one distribution a pair. More is more uncertain, in each of them."""
