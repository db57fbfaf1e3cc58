from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serm.evals.prediction_powered import Stratum, prediction_powered, stratified

Draw = tuple[np.ndarray, np.ndarray, np.ndarray]


def queries(rng: np.random.Generator, n: int, m: int, *, bias: float, noise: float) -> Draw:
    """Human values with mean .02, as skewed as differences in NDCG are: most queries do not move."""
    human = np.where(rng.random(n + m) < 0.5, 0.0, 0.04 + rng.normal(0, 0.15, n + m))
    judged = human + bias + rng.normal(0, noise, n + m)
    return human[:n], judged[:n], judged[n:]


@pytest.mark.parametrize("bias", [0.0, 0.1])
@pytest.mark.parametrize("noise", [0.02, 0.15, 1.0])
def test_intervals_hold_the_true_mean_as_often_as_they_say(bias: float, noise: float) -> None:
    rng = np.random.default_rng(5)
    runs = 2_000  # so that the simulation itself is within .7 of a point
    held = below = 0
    for _ in range(runs):
        drawn = queries(rng, 100, 500, bias=bias, noise=noise)
        found = prediction_powered(*drawn, 0.90, one_sided=True).interval
        held += found.low <= 0.02 <= found.high
        below += found.low <= 0.02
    assert abs(held / runs - 0.80) < 0.02
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


def test_a_query_without_a_value_is_not_in_the_mean_and_one_that_judges_see_no_change_in_stays() -> None:
    human = np.array([*np.linspace(0, 1, 20), np.nan, 0.5])
    judged = np.array([*np.linspace(0, 1, 20), 0.5, np.nan])
    found = prediction_powered(human, judged, [0.1, np.nan, 0.3, 0.4], 0.9)
    assert found.interval.n == 21
    assert found.human.mean == pytest.approx(np.nanmean(human))
    assert found.judged == 4


def differences(
    rng: np.random.Generator, strata: Sequence[tuple[int, int]], *, noise: float, bias: float
) -> list[Stratum]:
    """Paired changes in NDCG as two models make them: most are 0, many queries have one grade, and windows
    differ in their mean, in how many queries can be measured, and in what judges think of them."""
    found = []
    for number, (n, m) in enumerate(strata):
        size = n + m
        moved = rng.random(size) < 0.5
        human = np.where(moved, 0.03 * (number + 1) + rng.normal(0, 0.12, size), 0.0)
        judged = np.where(moved, human + bias + rng.normal(0, noise, size), 0.0)
        human[rng.random(size) < 0.2 + 0.1 * number] = np.nan
        judged[rng.random(size) < 0.15] = np.nan
        found.append(Stratum(human[:n], judged[:n], judged[n:]))
    return found


def true_mean(counts: Sequence[int]) -> float:
    """Of `differences`, weighed by the human-graded queries of each stratum."""
    has = [n * (0.8 - 0.1 * number) for number, n in enumerate(counts)]
    return sum(h * 0.5 * 0.03 * (number + 1) for number, h in enumerate(has)) / sum(has)


@pytest.mark.parametrize(
    ("strata", "noise", "bias"),
    [
        ([(60, 0), (40, 200), (40, 200)], 0.05, 0.05),  # the seed's gate has no judged queries beside it
        ([(60, 0), (40, 200), (40, 200)], 0.3, 0.0),
        ([(50, 300)], 0.05, 0.05),
    ],
)
def test_strata_and_queries_with_one_grade_keep_the_level(
    strata: list[tuple[int, int]], noise: float, bias: float
) -> None:
    rng = np.random.default_rng(23)
    runs, truth = 2_000, true_mean([n for n, _ in strata])
    held = below = 0
    ratios = []
    for _ in range(runs):
        drawn = differences(rng, strata, noise=noise, bias=bias)
        two, one = (stratified(drawn, 0.90, one_sided=side) for side in (False, True))
        held += two.interval.low <= truth <= two.interval.high
        below += one.interval.low <= truth
        ratios.append(two.worth)
    assert abs(held / runs - 0.90) < 0.02
    assert 0.88 < below / runs < 0.93  # changes are skewed: a lower bound is a little on the safe side
    assert noise > 0.1 or np.mean(ratios) > 1.1


def test_a_stratum_without_judged_queries_is_human_alone_and_moves_nothing_else() -> None:
    rng = np.random.default_rng(3)
    parts = differences(rng, [(40, 0), (40, 300)], noise=0.05, bias=0.1)
    both, judged = stratified(parts, 0.9), stratified(parts[1:], 0.9)
    assert both.interval.n == judged.interval.n + int((~np.isnan(parts[0].human)).sum())
    assert 0 < both.weight <= 1
    assert stratified(parts[:1], 0.9).interval == stratified(parts[:1], 0.9).human


def test_more_human_grades_reach_what_it_says_they_reach() -> None:
    rng = np.random.default_rng(5)
    found = stratified(differences(rng, [(60, 5_000)], noise=0.05, bias=0.0), 0.9, one_sided=True)
    needed = found.queries_needed(found.detectable / 1.3)
    assert needed > 0
    scale = found.interval.n / (found.interval.n + needed)
    variance = found.of_judges + (found.variance - found.of_judges) * scale
    assert found.detectable * np.sqrt(variance / found.variance) <= found.detectable / 1.3 + 1e-12
    assert found.queries_needed(found.detectable * 1.1) == 0
    assert found.queries_needed(1e-9) == -1


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
