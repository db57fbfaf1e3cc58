"""What an audit knows of one side: queries that people gave one grade are graded, and not measured."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from serm.graphs.audit import Slice, _Auditor
from serm.graphs.audit_sides import Side, joined, whole_lists

LEVEL, RUNS = 0.95, 200


def _side(expected: Any, graded: Any, human: Any, strata: Any = "tail") -> Side:
    words = (np.full(len(expected), word, dtype=object) for word in ("en", strata))
    return Side(*words, expected, graded, human, 0)


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
        side = _side(expected, graded, human)
        found = side.of(np.ones(300, dtype=bool), LEVEL)
        assert found.graded == int((graded & mixed).sum())
        held += found.interval.low <= 0.7 <= found.interval.high
        means.append(found.interval.mean)
    assert np.mean(means) == pytest.approx(0.7, abs=0.01)
    assert held / RUNS >= 0.9


def test_where_people_graded_every_query_the_mean_is_theirs() -> None:
    human, expected = np.array([0.5, 0.9, np.nan, 0.7]), np.array([0.4, 0.8, 0.1, 0.6])
    side = _side(expected, np.ones(4, dtype=bool), human)
    found = side.of(np.ones(4, dtype=bool), LEVEL)
    assert (found.interval.mean, found.graded) == (pytest.approx(0.7), 3)


def _hard_tail(rng: np.random.Generator, *, logged: bool = True) -> Side:
    """100 head queries of NDCG .80 and 100 tail queries of .70, all graded by people."""
    parts = []
    for name, mean in (("head", 0.8), ("tail", 0.7)):
        human = rng.normal(mean, 0.05, 100)
        expected = human + rng.normal(0, 0.02, 100)
        parts.append(_side(expected, np.ones(100, dtype=bool), human, name if logged else ""))
    return joined(*parts)


def _strata(window: Side, before: Side) -> dict[str, Slice]:
    """What an audit says of each stratum of a window of 200 queries."""
    auditor = object.__new__(_Auditor)
    settings = SimpleNamespace(gate=SimpleNamespace(margin=0.03))
    desk = SimpleNamespace(current=range(200))
    found = SimpleNamespace(window="w", desk=desk, drift=SimpleNamespace(regions=()), facts=())
    known = {"_": SimpleNamespace(settings=settings), "_level": LEVEL, "found": found}
    auditor.__dict__.update(known, window=window, before=before)
    return {part.name: part for part in auditor.slices() if part.kind == "stratum"}


def test_a_tail_that_was_always_harder_has_not_decayed() -> None:
    rng = np.random.default_rng(3)
    found = _strata(_hard_tail(rng), _hard_tail(rng))
    assert list(found) == ["head", "tail"]
    for part in found.values():
        assert part.change.verdict == "holds"
        assert (part.change.now.graded, part.change.before.graded) == (100, 100)


def test_where_nothing_before_has_a_stratum_it_cannot_be_told_whether_it_decayed() -> None:
    rng = np.random.default_rng(3)
    found = _strata(_hard_tail(rng), _hard_tail(rng, logged=False))
    assert [part.change.verdict for part in found.values()] == ["cannot tell"] * 2
    assert found["tail"].change.now.interval.mean == pytest.approx(0.7, abs=0.02)
    assert found["tail"].change.now.graded == 100
    assert found["tail"].change.before.interval.n == 0


def test_a_stratum_that_people_graded_on_one_side_alone_is_compared_by_the_model_on_both() -> None:
    """What the model expects is .1 too high on both sides; people graded what came before."""
    rng = np.random.default_rng(3)
    before = _hard_tail(rng)
    window = _hard_tail(rng)
    high = [side.expected + 0.1 for side in (window, before)]
    nobody = np.zeros(200, dtype=bool)
    window = _side(high[0], nobody, np.full(200, np.nan), window.strata)
    before = _side(high[1], before.graded, before.human, before.strata)
    for part in _strata(window, before).values():
        assert (part.change.now.graded, part.change.before.graded) == (0, 0)
        assert part.change.change.mean == pytest.approx(0, abs=0.03)


def test_human_grades_count_where_the_whole_list_has_them() -> None:
    """NDCG of the documents that somebody chose to grade is that of another, shorter list."""
    lists = pd.DataFrame(
        {
            "query_id": [0, 0, 0, 1, 1, 1, 2, 2, 3, 3],
            "doc_id": list("abcabcabab"),
            "grade": [3, 0, 1, 3, 0, np.nan, 2, 2, np.nan, np.nan],
        }
    )
    expected = np.array([0.1, 0.9, 0.5, 0.1, 0.9, 0.5, 1, 0, 1, 0], dtype=np.float32)
    graded, human, in_part = whole_lists(lists, expected, 4)
    assert graded.tolist() == [True, False, True, False]
    assert in_part == 1
    assert np.isnan(human).tolist() == [False, True, True, True], "query 2 has one grade: nothing to measure"
    assert 0 < human[0] < 1


def test_lists_without_a_grade_are_no_error() -> None:
    lists = pd.DataFrame({"query_id": [0, 0], "doc_id": ["a", "b"], "grade": [np.nan, np.nan]})
    graded, human, in_part = whole_lists(lists, np.zeros(2, dtype=np.float32), 1)
    assert (graded.tolist(), np.isnan(human).tolist(), in_part) == ([False], [True], 0)
