from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

from serm.evals.grades import MEASURES, always_commonest, grade_measures, predicted_grades, query_sums


def some(n: int = 400, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Queries of 1 to 40 pairs and distributions that know something of the grade."""
    rng = np.random.default_rng(seed)
    grades = rng.choice(4, n, p=[0.7, 0.1, 0.1, 0.1])
    given = rng.random((n, 4)) + 0.5 * np.eye(4)[grades]
    queries = np.sort(rng.integers(0, 30, n) ** 2 // 30)
    frame = pd.DataFrame(
        {"query_id": [f"q{i}" for i in queries], "doc_id": map(str, range(n)), "grade": grades}
    )
    return frame, given / given.sum(axis=1, keepdims=True)


def test_over_pairs_the_measures_are_those_of_scikit_learn() -> None:
    frame, given = some()
    predicted = predicted_grades(given)
    found = grade_measures(query_sums(frame, given, weights=np.ones(len(frame))))
    assert found["accuracy"] == pytest.approx((predicted == frame["grade"]).mean())
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(frame["grade"], predicted))
    assert found["qwk"] == pytest.approx(cohen_kappa_score(frame["grade"], predicted, weights="quadratic"))
    assert found["brier"] == pytest.approx(((given - np.eye(4)[frame["grade"]]) ** 2).sum(axis=1).mean())


def test_every_query_weighs_the_same_however_deep_its_pool_is() -> None:
    frame = pd.DataFrame(
        {"query_id": ["a"] * 9 + ["b"], "doc_id": map(str, range(10)), "grade": [0] * 9 + [3]}
    )
    always_0 = np.tile([1.0, 0, 0, 0], (10, 1))
    found = grade_measures(query_sums(frame, always_0))
    assert found["accuracy"] == pytest.approx(0.5)
    assert found["brier"] == pytest.approx(1.0)


def test_always_the_commonest_grade_is_what_measuring_such_a_model_gives() -> None:
    frame, given = some()
    grade, closed = always_commonest(query_sums(frame, given))
    measured = grade_measures(query_sums(frame, np.tile(np.eye(4)[grade], (len(frame), 1))))
    assert grade == 0
    assert closed == pytest.approx(measured)
    assert closed["balanced_accuracy"] == 0.25
    assert closed["qwk"] == 0


def test_a_perfect_model_reaches_the_best_of_every_measure() -> None:
    frame, _ = some()
    found = grade_measures(query_sums(frame, np.eye(4)[frame["grade"]]))
    assert found == pytest.approx({"accuracy": 1, "balanced_accuracy": 1, "qwk": 1, "brier": 0, "ece": 0})


def test_confidence_that_is_right_as_often_as_it_says_is_calibrated_and_overconfidence_is_not() -> None:
    frame = pd.DataFrame(
        {"query_id": ["q"] * 10, "doc_id": map(str, range(10)), "grade": [0] * 7 + [1, 2, 3]}
    )
    honest = np.tile([0.7, 0.1, 0.1, 0.1], (10, 1))
    sure = np.tile([1.0, 0, 0, 0], (10, 1))
    assert grade_measures(query_sums(frame, honest))["ece"] == pytest.approx(0, abs=1e-12)
    assert grade_measures(query_sums(frame, sure))["ece"] == pytest.approx(0.3)


def test_a_grade_that_does_not_occur_leaves_balanced_accuracy_alone() -> None:
    frame = pd.DataFrame({"query_id": ["q"] * 4, "doc_id": list("abcd"), "grade": [0, 0, 0, 3]})
    found = grade_measures(query_sums(frame, np.tile([1.0, 0, 0, 0], (4, 1))))
    assert found["balanced_accuracy"] == pytest.approx(0.5)


def test_kappa_of_one_grade_on_both_sides_is_not_a_number() -> None:
    frame = pd.DataFrame({"query_id": ["q"] * 2, "doc_id": list("ab"), "grade": [0, 0]})
    assert np.isnan(grade_measures(query_sums(frame, np.tile([1.0, 0, 0, 0], (2, 1))))["qwk"])


def test_counting_a_query_twice_is_the_same_as_having_it_twice() -> None:
    frame, given = some()
    twice = frame["query_id"] == frame["query_id"].iloc[-1]
    longer = pd.concat([frame, frame[twice].assign(query_id="copy")], ignore_index=True)
    sums, counts = query_sums(frame, given), np.ones((1, frame["query_id"].nunique()))
    counts[0, -1] = 2
    copied = query_sums(longer, np.concatenate([given, given[twice]]))
    for name, measure in MEASURES.items():
        assert measure(sums, counts)[0] == pytest.approx(grade_measures(copied)[name]), name
