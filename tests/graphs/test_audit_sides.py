"""What an audit knows of one side: queries that people gave one grade are graded, and not measured."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from serm.core.errors import DataError
from serm.graphs.audit import Auditor, Slice, _require_a_past
from serm.graphs.audit_sides import Side, joined, whole_lists

LEVEL, RUNS = 0.95, 200


def _side(expected: Any, graded: Any, human: Any, strata: Any = "tail", names: Any = None) -> Side:
    n = len(expected)
    words = (np.full(n, word, dtype=object) for word in ("en", strata))
    named = np.array([f"q{row}" for row in range(n)] if names is None else names, dtype=object)
    return Side(*words, expected, graded, human, 0, named, np.full(n, 8))


def _empty() -> Side:
    return _side(np.empty(0), np.empty(0, dtype=bool), np.empty(0))


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


def _slices(
    stream: Side,
    gate_before: Side,
    *,
    gate: Side | None = None,
    stream_before: Side | None = None,
    given: bool = False,
) -> tuple[Auditor, dict[str, Slice]]:
    """What an audit says of a window and of each stratum."""
    gate = _empty() if gate is None else gate
    sides = SimpleNamespace(
        found=SimpleNamespace(window="w", drift=SimpleNamespace(regions=()), facts=()),
        stream=stream,
        gate=gate,
        gate_before=gate_before,
        stream_before=stream_before,
        graded=joined(stream, gate) if given else gate,
        given=range(given),
    )
    auditor = Auditor(sides, margin=0.03, level=LEVEL)  # type: ignore[arg-type]
    return auditor, {part.name: part for part in auditor.slices()}


def _strata(window: Side, before: Side) -> dict[str, Slice]:
    """What an audit says of each stratum of a window that people graded all of."""
    found = _slices(window, before, given=True)[1]
    return {name: part for name, part in found.items() if part.kind == "stratum"}


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


def _mixture(rng: np.random.Generator, n: int, mean: float, *, graded: bool, names: Any = None) -> Side:
    human = rng.normal(mean, 0.05, n)
    known = human if graded else np.full(n, np.nan)
    return _side(human + rng.normal(0, 0.01, n), np.full(n, graded), known, names=names)


def test_a_gate_of_easier_queries_than_the_streams_is_no_decay() -> None:
    """Each is held against its own past: the gate by people's grades, and without any the stream."""
    rng = np.random.default_rng(7)
    for graded in (True, False):
        found = _slices(
            _mixture(rng, 300, 0.7, graded=False, names=[f"s{row}" for row in range(300)]),
            _mixture(rng, 100, 0.9, graded=True),
            gate=_mixture(rng, 100, 0.9, graded=graded, names=[f"g{row}" for row in range(100)]),
            stream_before=_mixture(rng, 300, 0.7, graded=False),
        )[1]
        assert found["w"].change.measured is graded
        assert found["w"].change.verdict == "holds"


def test_a_stream_held_against_a_gate_that_is_not_like_it_says_so() -> None:
    rng = np.random.default_rng(8)
    easy = {"gate_before": _mixture(rng, 100, 0.9, graded=True), "gate": _mixture(rng, 100, 0.9, graded=True)}
    for given in (True, False):
        auditor, found = _slices(_mixture(rng, 300, 0.7, graded=given), **easy, given=given)
        told = auditor.unlike(found["w"].change)
        assert (told is not None) is given, "the gate by itself is held against itself"
    assert told is None
    auditor, found = _slices(_mixture(rng, 300, 0.9, graded=True), **easy, given=True)
    told = auditor.unlike(found["w"].change)
    assert told is None


def test_queries_that_come_again_are_compared_with_themselves() -> None:
    rng = np.random.default_rng(9)
    before = _mixture(rng, 40, 0.8, graded=True)
    found = _slices(_mixture(rng, 100, 0.8, graded=False), before, gate=before)[1]["w"].change.change
    assert (found.low, found.mean, found.high) == (pytest.approx(0, abs=1e-12),) * 3
    shift = rng.normal(-0.01, 0.01, 40)
    fallen = _side(before.expected, before.graded, before.human + shift)
    paired = _slices(_mixture(rng, 100, 0.8, graded=False), before, gate=fallen)[1]["w"].change.change
    assert paired.mean == pytest.approx(shift.mean())
    half = shift.std(ddof=1) / np.sqrt(40)
    assert paired.high - paired.mean == pytest.approx(2.0227 * half, rel=1e-3)
    others = _side(
        before.expected, before.graded, before.human + shift, names=[f"o{row}" for row in range(40)]
    )
    apart = _slices(_mixture(rng, 100, 0.8, graded=False), before, gate=others)[1]["w"].change.change
    assert apart.high - apart.low > 3 * (paired.high - paired.low)


@pytest.mark.parametrize(("gate", "says"), [(0, "no gate query was open"), (5, "has a list from before")])
def test_without_a_past_the_error_tells_a_gate_without_lists_from_none(gate: int, says: str) -> None:
    sides: Any = SimpleNamespace(gate_before=_empty(), found=SimpleNamespace(window="m2"))
    resources: Any = SimpleNamespace(human_graded=lambda number: pd.DataFrame({"grade": [1] * gate}))
    with pytest.raises(DataError, match=says):
        _require_a_past(resources, {"round": 1}, sides)  # type: ignore[typeddict-item]
