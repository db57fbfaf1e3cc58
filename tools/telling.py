"""How a scoring tool tells its agent what it found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from serm.tools.desk import Candidates, DeskView
from serm.tools.result import result

EXAMPLES: Final = 3
EXAMPLE_LENGTH: Final = 60
"""Characters."""


def tell(view: DeskView, made: Candidates, **more: object) -> str:
    """Size, scores and examples of a list of candidates."""
    desk = view.desk
    if not len(made.rows):
        return tell_nothing(view, "no unlabelled pair fits", candidates=made.id, **more)
    queries = desk.query_index[made.rows]
    best, median, least = rounded(np.quantile(made.scores, [1.0, 0.5, 0.0]))
    return result(
        {
            "candidates": made.id,
            "size": len(made.rows),
            "queries": len(np.unique(queries)),
            "best": best,
            "median": median,
            "least": least,
            **more,
            "examples": [desk.query_names[query][:EXAMPLE_LENGTH] for query in queries[:EXAMPLES]],
        }
    )


def tell_nothing(view: DeskView, why: str, **more: object) -> str:
    """That the signal has nothing to say of this window, and why."""
    view.looked = True
    return result({"size": 0, "why": why, **more})


def rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), 3) for value in values]
