"""How many human-graded queries a comparison of two models needs before it is made."""

from __future__ import annotations

import math
from typing import Final

from scipy.stats import t

from serm.evals.bootstrap import POWER, queries_needed

SPREAD: Final = 0.10
"""Standard deviation, over queries, of the change in NDCG@4 between two models: about what was seen on TREC
Deep Learning (a standard error of .8 points on 150 queries). The gate itself measures it in each round."""


def queries_for(change: float, spread: float, level: float) -> int:
    """Queries in all until a true mean change of that size is found with `bootstrap.POWER` at `level`.

    `spread`: standard deviation of the change over queries, in the unit of `change`.
    """
    return 2 + queries_needed([spread / math.sqrt(2), -spread / math.sqrt(2)], change, level)


def measured_spread(n: int, detectable: float, level: float) -> float | None:
    """The spread behind the smallest change that a gate over n queries could detect; None: none measured."""
    if n < 2 or not math.isfinite(detectable) or detectable <= 0:
        return None
    quantile = t(df=n - 1).ppf
    return float(detectable * math.sqrt(n) / (quantile(level) + quantile(POWER)))
