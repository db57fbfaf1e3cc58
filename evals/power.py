"""How many human-graded queries a comparison of two models needs before it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from serm.evals.bootstrap import detectable_with, queries_needed

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
    return detectable / detectable_with(n, 1.0, level)


def last_spread(reports: Sequence[Mapping[str, Any]]) -> float | None:
    """The spread of the newest round whose gate measured one."""
    for report in reversed(reports):
        decision = report["decision"]
        change, reach = decision["change"], decision["detectable"]
        if "spread" in decision:
            found = decision["spread"] or None  # 0: no ranking changed, which says nothing of how far they do
        else:  # a round of an earlier version
            found = measured_spread(int(change["n"]), math.nan if reach is None else reach, change["level"])
        if found is not None:
            return float(found)
    return None
