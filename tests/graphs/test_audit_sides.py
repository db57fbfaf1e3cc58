"""What an audit knows of one side: queries that people gave one grade are graded, and not measured."""

from __future__ import annotations

import numpy as np
import pytest

from serm.graphs.audit import _Side

LEVEL, RUNS = 0.95, 200


def test_queries_with_one_grade_do_not_stand_for_ungraded_ones() -> None:
    """The model expects less of the queries that people gave one grade: nothing relevant is there."""
    rng = np.random.default_rng(5)
    held, means = 0, []
    for _ in range(RUNS):
        mixed = rng.random(300) < 0.7
        truth = rng.normal(0.7, 0.15, 300)
        expected = truth - 0.25 * ~mixed + rng.normal(0, 0.1, 300)
        graded = np.arange(300) < 80
        human = np.where(graded & mixed, truth, np.nan)
        side = _Side(np.full(300, "en", dtype=object), expected, graded, human)
        found = side.of(np.ones(300, dtype=bool), LEVEL)
        assert found.graded == int((graded & mixed).sum())
        held += found.interval.low <= 0.7 <= found.interval.high
        means.append(found.interval.mean)
    assert np.mean(means) == pytest.approx(0.7, abs=0.01)
    assert held / RUNS >= 0.9


def test_where_people_graded_every_query_the_mean_is_theirs() -> None:
    human, expected = np.array([0.5, 0.9, np.nan, 0.7]), np.array([0.4, 0.8, 0.1, 0.6])
    side = _Side(np.full(4, "en", dtype=object), expected, np.ones(4, dtype=bool), human)
    found = side.of(np.ones(4, dtype=bool), LEVEL)
    assert (found.interval.mean, found.graded) == (pytest.approx(0.7), 3)
