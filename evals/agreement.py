"""How well a file of labels, and each judge behind it, agrees with human grades; and what a label costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from serm.core.columns import DISTRIBUTION, KEY
from serm.core.errors import DataError
from serm.core.records import Outcome
from serm.evals.agreement_measures import Floats
from serm.evals.plain import plain
from serm.evals.rater import NO_GRADE, Agreement, Draws, Ints, rate

PANEL: Final = "panel"


@dataclass(frozen=True, slots=True)
class OfOutcome:
    """Labels that came about in one way."""

    outcome: str
    labels: int
    share: float  # of all labels
    graded: int  # of them, those with a human grade and a grade
    accuracy: float  # of those; NaN where there are none
    cost: float  # of all of them


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """Labels against people."""

    labels: int
    kept: int  # with a grade
    matched: int  # labels of which there is a human grade
    panel: Agreement
    judges: tuple[Agreement, ...]  # that voted, in the order of their names
    outcomes: tuple[OfOutcome, ...]
    cost: float  # of all labels, dropped ones too
    cost_per_kept: float  # NaN where none is kept

    def to_json(self) -> dict[str, Any]:
        """For JSON: NaN as None."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def agreement(labels: pd.DataFrame, gold: pd.DataFrame, draws: Draws | None = None) -> AgreementReport:
    """Measure labels (as `storage.labels.read_labels` gives them) against gold (query_id, doc_id, grade).

    Of the labels' columns only query_id, doc_id and grade must be there; without votes there are no judges.
    Raises DataError where no label has a human grade, or a pair stands in either of them twice.
    """
    for frame, what in ((labels, "labels"), (gold, "human grades")):
        if frame.duplicated(list(KEY)).any():
            query_id, doc_id = frame.loc[frame.duplicated(list(KEY)), list(KEY)].iloc[0]
            raise DataError(f"the {what} hold the pair {query_id}, {doc_id} twice.", "Keep one of them.")
    rows = labels.merge(gold[[*KEY, "grade"]], on=list(KEY), suffixes=("", "_human"))
    if rows.empty:
        raise DataError(
            f"none of the {len(labels):,} labels has a human grade among {len(gold):,}.",
            "Labels and gold must name queries and documents by the same ids.",
        )
    human = rows["grade_human"].to_numpy(np.int64)
    queries = pd.factorize(rows["query_id"])[0]
    given = _grades(rows["grade"])
    panel = rate(PANEL, human, given, queries, probabilities=_probabilities(rows), draws=draws)
    votes = _votes(rows)
    judges = []
    for name in sorted({judge for pair in votes for judge in pair}):
        asked = np.array([name in pair for pair in votes])
        said = _grades(pd.Series([pair.get(name) for pair in votes], dtype="Int8"))
        judges.append(rate(name, human[asked], said[asked], queries[asked], draws=draws))
    kept = int(labels["grade"].notna().sum())
    cost = float(_cost(labels).sum())
    return AgreementReport(
        labels=len(labels),
        kept=kept,
        matched=len(rows),
        panel=panel,
        judges=tuple(judges),
        outcomes=tuple(_outcomes(labels, rows)),
        cost=cost,
        cost_per_kept=cost / kept if kept else np.nan,
    )


def _outcomes(labels: pd.DataFrame, rows: pd.DataFrame) -> Sequence[OfOutcome]:
    if "outcome" not in labels:
        return []
    order = {outcome.value: place for place, outcome in enumerate(Outcome)}
    costs = _cost(labels)
    right = rows["grade"].eq(rows["grade_human"])
    found = []
    named = {outcome for outcome in labels["outcome"].dropna() if outcome}  # qrels name none
    for outcome in sorted(named, key=lambda item: (order.get(item, 99), item)):
        its = labels["outcome"] == outcome
        graded = (rows["outcome"] == outcome) & rows["grade"].notna()
        accuracy = float(right[graded].mean()) if graded.any() else np.nan
        found.append(
            OfOutcome(
                str(outcome),
                int(its.sum()),
                float(its.mean()),
                int(graded.sum()),
                accuracy,
                float(costs[its].sum()),
            )
        )
    return found


def _grades(column: pd.Series) -> Ints:
    return np.asarray(column.astype("Int8").fillna(NO_GRADE), dtype=np.int64)


def _probabilities(rows: pd.DataFrame) -> Floats | None:
    if not set(DISTRIBUTION) <= set(rows):
        return None
    return rows[list(DISTRIBUTION)].to_numpy(np.float64, na_value=np.nan)


def _votes(rows: pd.DataFrame) -> list[Mapping[str, int | None]]:
    if "votes" not in rows:
        return [{}] * len(rows)
    return [dict(votes) if isinstance(votes, list) else {} for votes in rows["votes"]]


def _cost(labels: pd.DataFrame) -> pd.Series:
    return labels["cost"].fillna(0.0) if "cost" in labels else pd.Series(0.0, index=labels.index)
