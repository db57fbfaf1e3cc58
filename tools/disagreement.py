"""How far a model's own repeated judgments of a pair lie apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def disagreement(passes: Floats) -> Floats:
    """MD = max over i, j of |f_i - f_j| (the paper's, as summarised), in grades, 0 to 3. (K, n) -> (n,).

    Raises ValueError where there are fewer than two passes: one judgment cannot disagree.
    """
    if passes.ndim != 2 or len(passes) < 2:
        raise ValueError(f"disagreement needs at least two passes over n pairs, not shape {passes.shape}")
    return np.asarray(passes.max(axis=0) - passes.min(axis=0), dtype=np.float32)
