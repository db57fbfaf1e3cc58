"""How far repeated judgments of a pair lie apart: of one model under dropout, or of several models."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float32]


def disagreement(passes: Floats) -> Floats:
    """MD = max over i, j of |f_i - f_j| (the paper's, as summarised), in grades, 0 to 3. (K, n) -> (n,).

    Raises ValueError where there are fewer than two passes: one judgment cannot disagree.
    """
    if passes.ndim != 2 or len(passes) < 2:
        raise ValueError(f"disagreement needs at least two passes over n pairs, not shape {passes.shape}")
    return np.asarray(passes.max(axis=0) - passes.min(axis=0), dtype=np.float32)


def committee_gap(members: Floats) -> Floats:
    """The widest gap between models over n pairs, in grades of the first one. (M, n) -> (n,), 0 to 3.

    Models of different training score on different scales, and a shift that all pairs share is no
    disagreement. So each member's scores are first mapped, rank by rank, onto those of the first (quantile
    matching; ties share their mean rank). Query by committee: Seung, Opper and Sompolinsky, COLT 1992.
    Raises ValueError with fewer than two members.
    """
    if members.ndim != 2 or len(members) < 2:
        raise ValueError(f"a committee needs at least two members over n pairs, not shape {members.shape}")
    if not members.shape[1]:
        return np.zeros(0, dtype=np.float32)
    scale = np.sort(members[0].astype(np.float64))
    places = np.arange(1, members.shape[1] + 1)
    matched = [np.interp(rankdata(member), places, scale) for member in members]
    return disagreement(np.asarray(matched, dtype=np.float32))
