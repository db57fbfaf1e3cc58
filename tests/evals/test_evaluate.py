from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from serm.core.errors import DataError
from serm.core.records import Interval
from serm.evals.evaluate import compare, evaluate, intervals, summarise, within_noise
from serm.evals.plain import plain
from serm.relevance_model.base import Scores, expected_grade


def graded_set(queries: int = 60, pairs: int = 10, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    grades = rng.choice(4, queries * pairs, p=[0.7, 0.1, 0.1, 0.1])
    grades[::pairs], grades[1::pairs] = 0, 3
    return pd.DataFrame(
        {
            "query_id": np.repeat([f"q{i}" for i in range(queries)], pairs),
            "doc_id": [f"d{i}" for i in range(queries * pairs)],
            "grade": grades,
        }
    )


def scored(frame: pd.DataFrame, noise: float, seed: int = 9) -> Scores:
    rng = np.random.default_rng(seed)
    weight = np.eye(4)[frame["grade"]] + noise * rng.random((len(frame), 4))
    given = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    return Scores(given, expected_grade(given))


SETTINGS = {"level": 0.95, "resamples": 400, "seed": 0}


def test_queries_with_one_grade_are_counted_apart_from_ndcg_and_in_the_grade_measures() -> None:
    frame = pd.DataFrame(
        {
            "query_id": ["mixed", "mixed", "nothing", "nothing", "all", "all"],
            "doc_id": list("abcdef"),
            "grade": [0, 3, 0, 0, 2, 2],
        }
    )
    perfect = np.eye(4, dtype=np.float32)[frame["grade"]]
    found = evaluate(frame, Scores(perfect, expected_grade(perfect)))
    assert (found.pairs, found.queries, found.single_grade, found.without_relevant) == (6, 1, 2, 1)
    assert found.ndcg["ndcg@4"] == pytest.approx(1)
    assert found.accuracy == pytest.approx(1)
    assert (found.commonest_grade, found.commonest["accuracy"]) == (0, pytest.approx(0.5))


def test_an_evaluation_is_strict_json_without_its_table() -> None:
    frame = graded_set()
    text = json.dumps(evaluate(frame, scored(frame, 2)).to_json(), allow_nan=False)
    assert {"ndcg@1", "ndcg@4", "ndcg@10", "accuracy", "balanced_accuracy", "qwk", "brier", "ece"} <= set(
        json.loads(text)
    )


def test_an_empty_test_gives_no_numbers_rather_than_wrong_ones() -> None:
    found = evaluate(graded_set().iloc[:0], Scores(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)))
    assert (found.pairs, found.queries) == (0, 0)
    assert math.isnan(found.accuracy)
    assert found.to_json()["ndcg@4"] is None


def test_the_table_of_queries_survives_parquet_and_gives_the_same_evaluation(tmp_path) -> None:
    frame = graded_set()
    found = evaluate(frame, scored(frame, 2))
    found.per_query.to_parquet(tmp_path / "queries.parquet")
    again = summarise(pd.read_parquet(tmp_path / "queries.parquet"))
    assert again.to_json() == found.to_json()
    assert compare(found, again, **SETTINGS)["ndcg@4"].mean == 0


def test_every_measure_of_a_better_model_is_better_beyond_noise() -> None:
    frame = graded_set(200)
    found = compare(evaluate(frame, scored(frame, 6)), evaluate(frame, scored(frame, 1)), **SETTINGS)
    for name in ("ndcg@1", "ndcg@4", "ndcg@10", "accuracy", "balanced_accuracy", "qwk"):
        assert found[name].low > 0, name
    assert found["brier"].high < 0


def test_the_difference_is_the_difference_of_the_two_evaluations_in_every_measure() -> None:
    frame = graded_set()
    before, after = evaluate(frame, scored(frame, 6)), evaluate(frame, scored(frame, 1))
    for name, interval in compare(before, after, **SETTINGS).items():
        assert interval.mean == pytest.approx(after.measures()[name] - before.measures()[name]), name


def test_two_models_that_differ_by_chance_are_seldom_told_apart() -> None:
    claimed = 0
    for run in range(60):
        frame = graded_set(40, seed=run)
        first, second = (evaluate(frame, scored(frame, 6, 2 * run + side)) for side in (0, 1))
        claimed += not within_noise(compare(first, second, **SETTINGS)["ndcg@4"])
    assert claimed <= 9  # 3 expected at 95%; a binomial of 60 passes 9 once in a thousand times


def test_pairs_in_another_order_are_compared_query_by_query() -> None:
    frame = graded_set()
    shuffled = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    perfect = [np.eye(4, dtype=np.float32)[rows["grade"]] for rows in (frame, shuffled)]
    first, second = (
        evaluate(rows, Scores(given, expected_grade(given)))
        for rows, given in zip((frame, shuffled), perfect, strict=True)
    )
    assert all(abs(item.mean) < 1e-12 for item in compare(first, second, **SETTINGS).values())


@pytest.mark.parametrize("other", [graded_set(59), graded_set(61), graded_set(60, seed=1)])
def test_evaluations_of_other_queries_or_grades_are_not_compared(other: pd.DataFrame) -> None:
    frame = graded_set()
    with pytest.raises(DataError, match="cannot be compared"):
        compare(evaluate(frame, scored(frame, 1)), evaluate(other, scored(other, 1)), **SETTINGS)


def test_a_measure_lies_in_its_interval() -> None:
    frame = graded_set()
    found = evaluate(frame, scored(frame, 3))
    for name, interval in intervals(found, **SETTINGS).items():
        assert interval.mean == pytest.approx(found.measures()[name])
        assert interval.low < interval.high
        if name != "ece":  # a sum of absolute gaps, which drawing again can only widen
            assert interval.low <= interval.mean <= interval.high


def test_no_interval_is_no_claim() -> None:
    assert within_noise(Interval(0.3, math.nan, math.nan, 1))
    assert within_noise(Interval(0.3, -0.1, 0.5, 9))
    assert not within_noise(Interval(0.3, 0.1, 0.5, 9))


def test_plain_records_hold_nothing_that_json_refuses() -> None:
    record = plain({"interval": Interval(math.nan, -math.inf, 1.0), "rows": ((1, "a"), (2, "b"))})
    assert record == {
        "interval": {"mean": None, "low": None, "high": 1.0, "n": 0, "level": 0.95},
        "rows": [[1, "a"], [2, "b"]],
    }
