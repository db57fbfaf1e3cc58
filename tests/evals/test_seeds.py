"""Intervals over seeds and queries hold the true mean as often as they say, whatever seeds add."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from serm.core.records import Interval
from serm.evals.bootstrap import Floats, mean_interval
from serm.evals.seeds import (
    measure_interval,
    nested_interval,
    seeds_interval,
    smallest_seen,
    statistics_intervals,
)

RUNS = 300


def _held(make: Callable[[np.random.Generator, int], Interval], truth: float = 0.0) -> tuple[float, float]:
    """The share of runs whose interval holds the truth, and the mean width."""
    rng = np.random.default_rng(7)
    found = [make(rng, run) for run in range(RUNS)]
    held = np.mean([item.low <= truth <= item.high for item in found])
    return float(held), float(np.mean([item.high - item.low for item in found]))


def _nested(effect: float, seeds: int) -> Callable[[np.random.Generator, int], Interval]:
    def make(rng: np.random.Generator, run: int) -> Interval:
        rows = [rng.normal(rng.normal(0, effect), 1, 100) for _ in range(seeds)]
        return nested_interval(rows, 0.95, 300, seed=run)

    return make


def _common(effect: float, seeds: int) -> Callable[[np.random.Generator, int], Interval]:
    def make(rng: np.random.Generator, run: int) -> Interval:
        values = rng.normal(0, effect, (seeds, 1)) + rng.normal(0, 1, (1, 60)) + rng.normal(0, 1, (seeds, 60))
        return seeds_interval(values, 0.95, 300, seed=run)

    return make


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_where_seeds_add_nothing_the_interval_is_that_of_the_queries(seeds: int) -> None:
    held, width = _held(_nested(0, seeds))
    assert 0.92 <= held <= 0.99
    # Few seeds now and then look far apart by chance, and one or two degrees of freedom are wide.
    if seeds > 2:
        assert width < {3: 2.1, 5: 1.5}[seeds] * 2 * 1.96 / np.sqrt(100 * seeds)


@pytest.mark.parametrize("seeds", [3, 5])
def test_where_queries_are_shared_the_interval_is_not_wider_than_it_need_be(seeds: int) -> None:
    held, width = _held(_common(0, seeds))
    assert 0.92 <= held <= 0.99
    assert width < 1.35 * 2 * 1.96 * np.sqrt((1 + 1 / seeds) / 60)


@pytest.mark.parametrize("make", [_nested, _common])
@pytest.mark.parametrize("effect", [0.1, 0.5])
@pytest.mark.parametrize("seeds", [3, 5])
def test_what_seeds_add_is_in_the_interval(
    make: Callable[[float, int], Callable[[np.random.Generator, int], Interval]], effect: float, seeds: int
) -> None:
    assert 0.9 <= _held(make(effect, seeds))[0] <= 0.985


def _gated(seeds: int) -> Callable[[np.random.Generator, int], Interval]:
    """Two arms whose gates promote the same change, each under half of the seeds: mostly opposite signs."""

    def make(rng: np.random.Generator, run: int) -> Interval:
        change = rng.normal(0.1, 1, 35)
        chosen = rng.choice([-1.0, 0.0, 1.0], (seeds, 1), p=[0.25, 0.5, 0.25])
        return seeds_interval(chosen * change + rng.normal(0, 0.1, (seeds, 35)), 0.95, 300, seed=run)

    return make


@pytest.mark.parametrize("seeds", [3, 5])
def test_seeds_that_pull_queries_apart_have_an_interval_no_wider_than_their_values_ask_for(
    seeds: int,
) -> None:
    held, width = _held(_gated(seeds))
    assert 0.9 <= held
    assert width < {3: 1.2, 5: 0.7}[seeds]


def test_seeds_of_opposite_signs_have_no_endless_interval_and_none_of_no_width() -> None:
    rng = np.random.default_rng(6)
    change = rng.normal(0, 0.02, 35)
    for mean in (0.1, 0.9, 1.1, 1.3, 3.0):  # in standard errors
        moved = change - change.mean() + mean * 0.02 / 35**0.5
        found = seeds_interval(np.stack([moved, -moved, 0 * moved]), 0.95, 500, 0)
        own = mean_interval(moved, 0.95, 500, 0)
        assert found.mean == pytest.approx(0.0)
        assert 0.3 < (found.high - found.low) / (own.high - own.low) < 5


@pytest.mark.parametrize("make", [_nested, _common])
def test_of_two_seeds_the_interval_holds_the_mean_less_often(
    make: Callable[[float, int], Callable[[np.random.Generator, int], Interval]],
) -> None:
    assert 0.8 <= _held(make(0.3, 2))[0] <= 0.94


def test_a_measure_that_samples_overstate_stays_inside_of_its_bounds_however_far_seeds_are_apart() -> None:
    """As the ECE: the mean of squares of group means grows when queries are drawn."""
    rng = np.random.default_rng(3)

    def of(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        groups = values.reshape(30, 10)

        def squares(counts: np.ndarray) -> np.ndarray:
            weights = counts.reshape(len(counts), 30, 10)
            sums = (weights * groups).sum(axis=2) / np.maximum(weights.sum(axis=2), 1)
            return (sums**2).mean(axis=1, keepdims=True)

        return squares

    for spread in (0.0, 0.05, 0.5):
        seeds = [of(rng.normal(shift, 1, 300)) for shift in (-spread, 0.0, 2 * spread)]
        [found] = statistics_intervals(seeds, [300] * 3, 0.95, 300, 0, common=False)
        assert found.low < found.mean < found.high


def test_seeds_apart_make_it_wider_and_leave_the_mean() -> None:
    rng = np.random.default_rng(4)
    queries, shift = rng.normal(0, 0.1, 200), np.array([[-0.2], [0.0], [0.2]])
    alike = seeds_interval(np.tile(queries, (3, 1)), 0.95, 500, seed=0)
    apart = seeds_interval(queries + shift, 0.95, 500, seed=0)
    plain = mean_interval(queries, 0.95, 500, seed=0)
    assert (alike.low, alike.high) == pytest.approx((plain.low, plain.high))
    assert apart.high - apart.low > 3 * (alike.high - alike.low)
    assert apart.mean == pytest.approx(queries.mean())


def test_seeds_that_differ_by_a_constant_alone_have_the_interval_of_student() -> None:
    found = seeds_interval(np.array([[0.1] * 30, [0.2] * 30, [0.3] * 30]), 0.95, 200, seed=0)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (0.2, 0.2 - 4.303 * 0.1 / 3**0.5, 0.448), abs=1e-3
    )


def test_one_seed_is_the_interval_over_its_queries() -> None:
    rows = np.random.default_rng(2).normal(0.3, 0.2, (1, 40))
    assert nested_interval(list(rows), 0.9, 100, seed=0) == mean_interval(rows[0], 0.9, 100, 0)
    assert seeds_interval(rows, 0.9, 100, seed=0) == mean_interval(rows[0], 0.9, 100, 0)


def test_queries_that_one_seed_did_not_measure_are_left_out_for_all() -> None:
    values = np.array([[0.1, np.nan, 0.3], [0.3, 0.9, 0.5]])
    found = seeds_interval(values, 0.9, 100, seed=0)
    assert (found.mean, found.n) == (pytest.approx(0.3), 2)
    assert seeds_interval(values[:1], 0.9, 100, seed=0).n == 2
    assert nested_interval([[0.1, np.nan, 0.3], [0.5, 0.7]], 0.9, 100, seed=0).mean == pytest.approx(0.4)


@pytest.mark.parametrize("common", [False, True])
def test_a_ratio_of_means_has_an_interval_that_holds_it(common: bool) -> None:
    def drop(before: Floats, after: Floats) -> Floats:
        return (before - after) / before

    def make(rng: np.random.Generator, run: int) -> Interval:
        shift = rng.normal(0, 0.05, 3)
        before = [rng.normal(1.0, 0.3, 80) for _ in range(3)]
        after = [rng.normal(0.5 + by, 0.3, 80) for by in shift]
        return measure_interval([[before], [after]], drop, 0.95, 300, run, common=common)

    assert 0.86 <= _held(make, truth=0.5)[0] <= 0.985


def test_arrays_of_a_group_are_drawn_together() -> None:
    rng = np.random.default_rng(3)
    first = [rng.normal(0, 1, 50) for _ in range(3)]
    second = [row + 0.1 for row in first]
    found = measure_interval([[first, second]], lambda a, b: b - a, 0.95, 200, 0, common=False)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))


def test_what_an_interval_can_see_is_wider_than_itself_by_the_power() -> None:
    assert smallest_seen(Interval(0.0, -0.0196, 0.0196, 50, 0.95)) == pytest.approx(0.028, abs=1e-3)


@pytest.mark.parametrize("common", [False, True])
def test_without_a_query_there_is_no_figure_and_with_one_no_interval(common: bool) -> None:
    def change(before: Floats, after: Floats) -> Floats:
        return after - before

    full, empty, one = np.array([0.1, 0.2, 0.4]), np.full(3, np.nan), np.array([0.3, np.nan, np.nan])
    nothing = measure_interval([[[empty, empty]], [[full, full]]], change, 0.95, 50, 0, common=common)
    assert nothing.n == 0
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all()
    single = measure_interval([[[one, one]], [[full, full]]], change, 0.95, 50, 0, common=common)
    assert single.mean == pytest.approx(full.mean() - 0.3)
    assert np.isnan([single.low, single.high]).all()
    assert seeds_interval(np.stack([empty, empty]), 0.95, 50, 0).n == 0
    assert nested_interval([empty, empty], 0.95, 50, 0).n == 0
    assert measure_interval([], change, 0.95, 50, 0, common=common).n == 0


def test_a_seed_without_a_query_of_a_side_is_left_out_of_both() -> None:
    full, empty = np.array([0.1, 0.2, 0.4]), np.full(3, np.nan)
    rows = [[[full, full + 0.2]], [[full, empty]]]
    found = measure_interval(rows, lambda a, b: a - b, 0.95, 50, 0, common=False)
    assert found.mean == pytest.approx(0.0)  # the second seed's 0.2 stands on one side alone
    assert found.n == 3


@pytest.mark.parametrize("common", [False, True])
def test_a_measure_that_is_a_mean_has_the_interval_of_the_mean(common: bool) -> None:
    rng = np.random.default_rng(5)
    rows = [rng.normal(0.3 + shift, 0.2, 60) for shift in (0.0, 0.05, 0.2)]

    def mean_of(row: Floats) -> Callable[[Floats], Floats]:
        return lambda counts: np.stack([counts @ row / 60, np.full(len(counts), np.nan)], axis=1)

    sizes = [60, 60, 60]
    found, nothing = statistics_intervals([*map(mean_of, rows)], sizes, 0.95, 400, 0, common=common)
    wanted = measure_interval([[rows]], lambda mean: mean, 0.95, 400, 0, common=common)
    assert (found.mean, found.low, found.high) == pytest.approx((wanted.mean, wanted.low, wanted.high))
    assert found.n == wanted.n
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all()


def test_measures_of_no_query_are_none_and_of_one_have_no_interval() -> None:
    def one(counts: Floats) -> Floats:
        return np.ones((len(counts), 1))

    assert statistics_intervals([one], [0], 0.95, 10, 0, common=True) == []
    (found,) = statistics_intervals([one, one], [1, 0], 0.95, 10, 0, common=False)
    assert (found.mean, found.n) == (1.0, 1)
    assert np.isnan(found.low)
