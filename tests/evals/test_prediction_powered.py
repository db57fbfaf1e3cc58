from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serm.evals.prediction_powered import prediction_powered

Draw = tuple[np.ndarray, np.ndarray, np.ndarray]


def queries(rng: np.random.Generator, n: int, m: int, *, bias: float, noise: float) -> Draw:
    """Human values with mean .02, as skewed as differences in NDCG are: most queries do not move."""
    human = np.where(rng.random(n + m) < 0.5, 0.0, 0.04 + rng.normal(0, 0.15, n + m))
    judged = human + bias + rng.normal(0, noise, n + m)
    return human[:n], judged[:n], judged[n:]


@pytest.mark.parametrize("bias", [0.0, 0.1])
@pytest.mark.parametrize("noise", [0.02, 0.15, 1.0])
def test_intervals_hold_the_true_mean_as_often_as_they_say(bias: float, noise: float) -> None:
    rng = np.random.default_rng(11)
    runs = 2_000
    held = below = 0
    for _ in range(runs):
        drawn = queries(rng, 100, 1_000, bias=bias, noise=noise)
        two = prediction_powered(*drawn, 0.90).interval
        one = prediction_powered(*drawn, 0.90, one_sided=True).interval
        held += two.low <= 0.02 <= two.high
        below += one.low <= 0.02
    assert abs(held / runs - 0.90) < 0.02
    assert abs(below / runs - 0.90) < 0.02


def test_good_judges_make_the_interval_narrow_and_useless_ones_leave_it() -> None:
    rng = np.random.default_rng(0)
    good = [prediction_powered(*queries(rng, 100, 2_000, bias=0.1, noise=0.02), 0.9) for _ in range(50)]
    bad = [prediction_powered(*queries(rng, 100, 2_000, bias=0.1, noise=5.0), 0.9) for _ in range(50)]
    assert np.mean([found.worth for found in good]) > 5
    assert np.mean([found.worth for found in bad]) == pytest.approx(1.0, abs=0.05)
    assert np.mean([found.weight for found in good]) > 0.8
    assert np.mean([found.weight for found in bad]) < 0.05


def test_without_further_queries_or_with_too_few_grades_the_human_mean_stands_alone() -> None:
    human, judged = np.linspace(0, 1, 30), np.linspace(0, 2, 30)
    for found in (
        prediction_powered(human, judged, [], 0.9),
        prediction_powered(human[:5], judged[:5], judged, 0.9),
        prediction_powered(human, np.zeros(30), judged, 0.9),
    ):
        assert found.interval == found.human
        assert found.weight == 0
        assert found.worth == 1


def test_unmeasured_queries_are_left_out_on_both_sides() -> None:
    human = np.array([*np.linspace(0, 1, 20), np.nan, 0.5])
    judged = np.array([*np.linspace(0, 1, 20), 0.5, np.nan])
    found = prediction_powered(human, judged, [0.1, np.nan, 0.3, 0.4], 0.9)
    assert found.interval.n == 20
    assert found.judged == 3


def test_one_query_has_a_mean_and_no_interval() -> None:
    found = prediction_powered([0.5], [0.4], [0.1, 0.2], 0.9).interval
    assert found.mean == 0.5
    assert np.isnan(found.low)
    with pytest.raises(ValueError, match="one shape"):
        prediction_powered([0.5], [0.4, 0.3], [0.1], 0.9)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(-3, 3))
def test_a_constant_that_judges_add_changes_nothing(seed: int, shift: float) -> None:
    human, judged, further = queries(np.random.default_rng(seed), 40, 200, bias=0.0, noise=0.1)
    plain = prediction_powered(human, judged, further, 0.9).interval
    moved = prediction_powered(human, judged + shift, further + shift, 0.9).interval
    assert moved.mean == pytest.approx(plain.mean, abs=1e-9)
    assert moved.low == pytest.approx(plain.low, abs=1e-9)
