"""What a panel's grades add to the gate's human ones: the mean change with a narrower interval.

The queries that people have graded and those that the panel alone has come from the same windows, by hash.
The panel grades all of them, so what it gets wrong shows on the human-graded ones, and is taken out of the
mean (evals/prediction_powered.py). The mean is still that over the population of the human-graded queries,
each window counting by its human-graded ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from serm.core.columns import KEY
from serm.core.records import Judgment, PairKey
from serm.evals.measures import ndcg_column, per_query
from serm.evals.prediction_powered import PredictionPowered, Stratum, stratified

_OF_TEXT: Final = {"window": "min", "change": "mean", "judged": "mean"}
_DIGITS: Final = 12  # of a change in NDCG: less is the rounding of two ways to the same sum


@dataclass(frozen=True, slots=True, eq=False)
class JudgedChanges:
    """Changes in NDCG by the panel's grades, of the gate's queries and of those that it alone has graded.

    Frames of query_id, window, `change` (NaN: by these grades nothing can be measured), and `text` where ids
    may share one, a row a query.
    """

    gate: pd.DataFrame
    further: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class JudgedGate:
    """Of all pairs of a query, and of its list in the newest window alone. A query that is asked again has a
    list in several windows: over all of them it is of its first one."""

    every: JudgedChanges
    newest: JudgedChanges
    pairs: int = 0  # that the panel was asked to grade, for the first time or earlier


@dataclass(frozen=True, slots=True)
class TooFew:
    """The panel was not asked: in the windows of the queries that it would grade people have graded
    `queries`, fewer than it takes for its grades to count."""

    queries: int


def query_changes(
    frame: pd.DataFrame, champion: ArrayLike, challenger: ArrayLike, cutoff: int
) -> pd.DataFrame:
    """query_id, window and the change in NDCG of every query of a graded frame, from n expected grades of
    each model; NaN where a query has one grade."""
    before, after = per_query(frame, champion, (cutoff,)), per_query(frame, challenger, (cutoff,))
    first = frame.drop_duplicates("query_id")
    change = (after[ndcg_column(cutoff)] - before[ndcg_column(cutoff)]).round(_DIGITS)
    window = first["window"].to_numpy() if "window" in first else np.full(len(first), -1)
    return pd.DataFrame({"query_id": before["query_id"], "window": window, "change": change})


def panel_grades(frame: pd.DataFrame, said: Iterable[Judgment]) -> pd.Series[float]:
    """One grade a row of a pairs frame: the commonest vote, the lower of two as common; NaN where nobody
    answered."""
    votes: dict[PairKey, Counter[int]] = {}
    for item in said:
        if item.grade is not None:
            votes.setdefault(item.key, Counter())[item.grade] += 1
    best = {key: min(count, key=lambda grade: (-count[grade], grade)) for key, count in votes.items()}
    grades = [best.get(PairKey(*key), np.nan) for key in zip(*(frame[name] for name in KEY), strict=True)]
    return pd.Series(grades, index=frame.index, dtype=float)


def _by_text(table: pd.DataFrame) -> pd.DataFrame:
    """window and the changes of each text, in the means of its ids; of the first window that it is in."""
    if "text" not in table or not table.duplicated("text").any():
        return table
    means = {name: how for name, how in _OF_TEXT.items() if name in table}
    return table.groupby("text", sort=False).agg(means).reset_index()


def powered_change(human: pd.DataFrame, judged: JudgedChanges, level: float, least: int) -> PredictionPowered:
    """The mean change over the queries of `human` (query_id, window, change, and `text` where ids may share
    one), by both kinds of grades.

    People may have graded a part of a query's list: the panel's change is that of whole lists on both sides,
    so what it differs by from theirs is the same for the queries that it alone has graded, and is taken out.

    One text under several ids is one query on either side. A window is a stratum; `low` is a one-sided bound.
    With fewer than `least` human-graded ones it is theirs.
    """
    by_judges = judged.gate.set_index("query_id")["change"].reindex(human["query_id"])
    table, further = _by_text(human.assign(judged=by_judges.to_numpy())), _by_text(judged.further)
    strata = [
        Stratum.of(
            rows["change"],
            rows["judged"],
            further.loc[further["window"] == window, "change"],
        )
        for window, rows in table.groupby("window", sort=True)
    ]
    return stratified(strata, level, one_sided=True, least=least)
