"""One tool a signal of the model's own: it asks a pure function, keeps the finds as candidates, and tells
sizes and scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from serm.relevance_model.base import FloatArray, expected_grade
from serm.tools.desk import DeskView, Ints
from serm.tools.disagreement import committee_gap, disagreement
from serm.tools.telling import tell, tell_nothing
from serm.tools.uncertainty import MEASURES, bald

_NOTHING: Final = np.zeros(0, dtype=np.float32)
_ROUNDING: Final = 1e-6
"""Of a probability: what passes of a model without dropout may differ by (chosen, over 6e-8 as was seen)."""


def score_uncertainty(
    view: DeskView, measure: str | None, language: str | None, stratum: str | None, top: int
) -> str:
    """List the pairs whose grade the model is least sure of."""
    desk = view.desk
    name = measure or desk.settings.uncertainty
    values = MEASURES[name](desk.scores.probabilities)
    fits = np.ones(len(values), dtype=bool)
    if language is not None:
        fits &= (desk.window["language"] == language).to_numpy(dtype=bool)
    if stratum is not None:
        fits &= (desk.query_strata == stratum)[desk.query_index]
    rows = np.flatnonzero(fits)
    return tell(view, view.offer(name, rows, desk.weighed(rows, values[rows]), top))


def score_disagreement(view: DeskView, pool: int | None, top: int) -> str:
    """List the pairs on which repeated judgments of the model (under dropout) lie farthest apart."""
    return _of_passes(view, "disagreement", lambda passes: disagreement(expected_grade(passes)), pool, top)


def score_bald(view: DeskView, pool: int | None, top: int) -> str:
    """List the pairs whose label would tell most of the model: its passes under dropout are sure, but of
    different grades."""
    return _of_passes(view, "bald", bald, pool, top)


def score_committee(view: DeskView, pool: int | None, top: int) -> str:
    """List the pairs on which the current model, the one before it and the base model disagree most."""
    committee = view.desk.committee
    if committee is None:
        return tell_nothing(view, "there is no other model to compare with")
    rows = _pool(view, pool)
    return _of_rows(view, "committee", rows, committee_gap(committee(rows)) if len(rows) else _NOTHING, top)


def score_novelty(view: DeskView, top: int) -> str:
    """List the pairs of queries unlike any earlier one that are no outliers: others like them are around."""
    desk = view.desk
    if not len(desk.reference):
        return tell_nothing(view, "there are no earlier queries to compare with")
    rows = np.arange(len(desk.window), dtype=np.int64)
    worth = desk.query_novelty * desk.query_density
    # Within a query the pairs are alike in novelty: the least sure of them comes first.
    values = worth[desk.query_index] * (1.0 + 1e-3 * desk.entropy)
    return tell(view, view.offer("novelty in a crowd", rows, values, top))


def _of_passes(
    view: DeskView, what: str, measure: Callable[[FloatArray], FloatArray], pool: int | None, top: int
) -> str:
    """A measure of passes under dropout, (passes, k, 4) -> (k,). A model that has none says the same in each
    of them, and what is left to choose by is how its numbers are rounded."""
    rows = _pool(view, pool)
    if not len(rows):
        return _of_rows(view, what, rows, _NOTHING, top)
    passes = view.desk.stochastic(rows)
    if float(np.ptp(passes, axis=0).max()) <= _ROUNDING:
        return tell_nothing(view, "the model says the same in every pass: it has no dropout")
    return _of_rows(view, what, rows, measure(passes), top)


def _pool(view: DeskView, pool: int | None) -> Ints:
    """The most uncertain pairs: they alone are measured by what costs as much as scoring anew."""
    desk = view.desk
    return desk.most_uncertain(min(pool or desk.settings.pool, desk.settings.pool))


def _of_rows(view: DeskView, what: str, rows: Ints, values: FloatArray, top: int) -> str:
    return tell(view, view.offer(what, rows, view.desk.weighed(rows, values), top), pool=len(rows))
