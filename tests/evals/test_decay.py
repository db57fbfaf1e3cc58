"""Decay: what a model expects of itself, what human grades add, and what can be said of a change."""

import math

import numpy as np
import pytest
from scipy import stats

from serm.core.records import Interval
from serm.evals.decay import Measured, compare, expected_ndcg, measured_mean
from serm.evals.measures import ndcg_column, per_query
from serm.relevance_model.base import Scores, expected_grade


def scores_of(probabilities: np.ndarray) -> Scores:
    return Scores(probabilities.astype(np.float32), expected_grade(probabilities.astype(np.float32)))


def test_a_calibrated_model_expects_the_ndcg_that_it_has() -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    queries, depth = 1_500, 8
    probabilities = rng.dirichlet([0.6, 0.4, 0.3, 0.3], queries * depth)
    scores = scores_of(probabilities)
    index = np.repeat(np.arange(queries), depth)
    grades = (rng.random(len(index))[:, None] > np.cumsum(probabilities, axis=1)[:, :3]).sum(axis=1)
    frame = pd.DataFrame(
        {"query_id": index.astype(str), "doc_id": np.arange(len(index)).astype(str), "grade": grades}
    )
    real = per_query(frame, scores.expected)[ndcg_column(4)].mean()
    assert np.nanmean(expected_ndcg(index, scores, seed=1)) == pytest.approx(real, abs=0.015)


def test_a_sure_and_right_order_expects_one_and_a_query_of_one_pair_nothing() -> None:
    sure = np.eye(4)[[3, 1, 0, 2]]
    found = expected_ndcg(np.array([0, 0, 0, 1]), scores_of(sure), seed=0)
    assert found[0] == pytest.approx(1.0)
    assert math.isnan(found[1])
    assert expected_ndcg(np.zeros(0, dtype=np.int64), scores_of(np.zeros((0, 4))), seed=0).shape == (0,)


def test_human_grades_outvote_a_model_that_is_wrong_of_itself() -> None:
    rng = np.random.default_rng(2)
    human = rng.normal(0.6, 0.1, 60)
    flattering = human + 0.3 + rng.normal(0, 0.05, 60)
    others = rng.normal(0.9, 0.11, 800)
    measured = measured_mean(human, flattering, others, 0.95)
    assert measured.graded == 60
    assert measured.interval.low < 0.6 < measured.interval.high < 0.7
    alone = measured_mean([], [], others, 0.95)
    assert (alone.graded, alone.interval.n) == (0, 800)
    assert alone.interval.low > 0.85


def test_a_change_is_decay_only_where_it_is_sure_and_no_decay_only_within_the_margin() -> None:
    def side(mean: float, reach: float) -> Measured:
        return Measured(Interval(mean, mean - reach, mean + reach, 400), 400)

    assert compare(side(0.6, 0.01), side(0.7, 0.01), margin=0.01, level=0.95).verdict == "decayed"
    assert compare(side(0.7, 0.004), side(0.7, 0.004), margin=0.01, level=0.95).verdict == "holds"
    assert compare(side(0.68, 0.05), side(0.7, 0.05), margin=0.01, level=0.95).verdict == "cannot tell"
    few = Measured(Interval(0.5, math.nan, math.nan, 1), 1)
    assert compare(few, side(0.7, 0.01), margin=0.01, level=0.95).verdict == "cannot tell"


def test_the_interval_of_a_change_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(300):
        now, before = rng.normal(0.6, 0.2, 40), rng.normal(0.65, 0.2, 60)
        sides = [measured_mean(values, values * 0, [], 0.9) for values in (now, before)]
        change = compare(sides[0], sides[1], margin=0.01, level=0.9).change
        covered += change.low <= -0.05 <= change.high
    assert 0.84 <= covered / 300 <= 0.97


@pytest.mark.parametrize(("now", "before"), [(3, 300), (300, 3)])
def test_a_change_is_as_unsure_as_its_smaller_side(now: int, before: int) -> None:
    def side(n: int) -> Measured:
        reach = stats.t(n - 1).ppf(0.975) * 0.1  # a standard error of a tenth
        return Measured(Interval(0.6, 0.6 - reach, 0.6 + reach, n), n)

    change = compare(side(now), side(before), margin=0.01, level=0.95).change
    assert change.n == 3
    assert change.high == pytest.approx(stats.t(2).ppf(0.975) * np.hypot(0.1, 0.1))
