from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serm.evals import bootstrap
from serm.evals.bootstrap import (
    detectable,
    difference_interval,
    mean_interval,
    queries_needed,
    statistic_intervals,
)


def test_a_90_percent_interval_holds_the_true_mean_about_90_percent_of_the_time() -> None:
    rng = np.random.default_rng(1)
    held = below = 0
    runs = 400
    for run in range(runs):
        values = rng.exponential(1.0, 60)  # skewed, as NDCG is; the true mean is 1
        two = mean_interval(values, 0.90, 400, seed=run)
        one = mean_interval(values, 0.90, 400, seed=run, one_sided=True)
        held += two.low <= 1 <= two.high
        below += one.low <= 1
    assert 0.84 <= held / runs <= 0.94  # three standard errors of 400 runs, and the percentile's slight bias
    assert 0.86 <= below / runs <= 0.97


FloatArray = np.ndarray[Any, np.dtype[np.float64]]


@pytest.mark.parametrize("n", [2, 3, 5, 8, 20])
def test_few_queries_have_an_interval_that_holds_as_often_as_it_says(n: int) -> None:
    """Of two queries that moved alike by chance nothing is known: percentile intervals held half the time."""
    rng = np.random.default_rng(n)
    runs = 400
    tables = rng.normal(0.0, 0.1, (runs, n))
    held = below = general = 0
    for seed, values in enumerate(tables):
        two = mean_interval(values, 0.95, 400, seed)
        one = mean_interval(values, 0.90, 400, seed, one_sided=True)
        means = statistic_intervals(_mean_of(values), n, 0.95, 400, seed)[0]
        held += two.low <= 0 <= two.high
        below += one.low <= 0
        general += means.low <= 0 <= means.high
    assert held / runs >= 0.91
    assert below / runs >= 0.86
    assert general == held


def _mean_of(values: FloatArray) -> Callable[[FloatArray], FloatArray]:
    return lambda counts: (counts @ values / counts.sum(axis=1))[:, None]


def test_a_one_sided_bound_is_closer_than_the_two_sided_one_at_the_same_level() -> None:
    values = np.random.default_rng(0).normal(size=100)
    one, two = (mean_interval(values, 0.9, 2_000, 0, one_sided=side) for side in (True, False))
    assert two.low < one.low < one.mean < one.high < two.high


def test_pairing_takes_the_difficulty_of_the_queries_out() -> None:
    rng = np.random.default_rng(0)
    hard = rng.uniform(0, 1, 50)
    before, after = hard, hard + 0.02 + rng.normal(0, 0.01, 50)
    change = difference_interval(before, after, 0.95, 1_000, 0)
    assert 0.01 < change.low < change.high < 0.03
    alone = mean_interval(after, 0.95, 1_000, 0)
    assert alone.high - alone.low > 5 * (change.high - change.low)


def test_the_same_seed_gives_the_same_interval_and_blocks_do_not_change_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(0).normal(size=37)
    first = mean_interval(values, 0.95, 500, seed=3)
    assert first == mean_interval(values, 0.95, 500, seed=3)
    assert first != mean_interval(values, 0.95, 500, seed=4)
    monkeypatch.setattr(bootstrap, "_BLOCK", 37 * 50)
    assert first == mean_interval(values, 0.95, 500, seed=3)


def test_unmeasured_queries_are_left_out() -> None:
    found = mean_interval([0.0, math.nan, 1.0, math.nan], 0.95, 200, 0)
    assert (found.mean, found.n) == (0.5, 2)


@pytest.mark.parametrize("values", [[], [0.5], [math.nan, 0.5]])
def test_fewer_than_two_queries_have_no_interval(values: list[float]) -> None:
    found = mean_interval(values, 0.95, 200, 0)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_mean_as_a_general_statistic_has_the_interval_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=40)
    (general,) = statistic_intervals(
        lambda counts: (counts @ values / counts.sum(axis=1))[:, None], 40, 0.95, 500, 7
    )
    special = mean_interval(values, 0.95, 500, 7)
    assert (general.mean, general.low, general.high) == pytest.approx(
        (special.mean, special.low, special.high)
    )


def test_a_change_of_the_detectable_size_is_found_four_times_out_of_five() -> None:
    rng = np.random.default_rng(5)
    n, deviation = 80, 0.1
    size = detectable(rng.normal(0, deviation, 20_000), 0.9) * math.sqrt(20_000 / n)
    found = [
        mean_interval(rng.normal(size, deviation, n), 0.9, 200, seed, one_sided=True).low > 0
        for seed in range(500)
    ]
    assert 0.74 <= np.mean(found) <= 0.87


@given(st.integers(2, 60), st.floats(0.02, 0.5), st.floats(0.005, 0.1))
@settings(max_examples=40, deadline=None)
def test_with_the_queries_needed_the_change_is_detectable_and_with_one_fewer_it_is_not(
    n: int, deviation: float, change: float
) -> None:
    values = np.linspace(-deviation, deviation, n)
    more = queries_needed(values, change, 0.9)

    def reach(total: int) -> float:
        spread = values.std(ddof=1)
        other = np.resize([-1.0, 1.0], total)
        other = other - other.mean()
        return detectable(other / other.std(ddof=1) * spread, 0.9)

    if more == 0:
        assert detectable(values, 0.9) <= change
    else:
        assert reach(n + more) <= change * (1 + 1e-9)
        assert n + more - 1 < 2 or reach(n + more - 1) > change * (1 - 1e-9)


def test_one_query_says_nothing_of_what_is_detectable() -> None:
    assert detectable([0.1], 0.9) == math.inf
    assert queries_needed([0.1], 0.01, 0.9) == -1
