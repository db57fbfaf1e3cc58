"""Labels and judges against people: the measures are scikit-learn's, the counts are counted by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from serm.core.errors import DataError
from serm.core.records import GRADES
from serm.evals.agreement import agreement
from serm.evals.agreement_measures import MEASURES, confusion
from serm.evals.rater import Draws, calibration, rate

FEW = Draws(resamples=200)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
def test_the_measures_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    human, said = np.array(pairs).T
    table = confusion(human, said)[None]
    found = {name: float(measure(table)[0]) for name, measure in MEASURES.items()}
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(human, said))
    kappas = {
        "kappa": metrics.cohen_kappa_score(human, said) if len({*human, *said}) > 1 else math.nan,
        "qwk": metrics.cohen_kappa_score(human, said, weights="quadratic", labels=list(GRADES))
        if len({*human, *said}) > 1
        else math.nan,
        "binary_kappa": metrics.cohen_kappa_score(human >= 2, said >= 2)
        if len({*(human >= 2), *(said >= 2)}) > 1
        else math.nan,
    }
    for name, expected in kappas.items():
        assert found[name] == pytest.approx(expected, nan_ok=True)
    recalls = [(said[human == grade] == grade).mean() for grade in set(human.tolist())]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_of_each_grade_precision_recall_and_coverage_are_counted() -> None:
    human = np.array([0, 0, 0, 0, 2, 2, 3])
    said = np.array([0, 0, 2, -1, 2, -1, -1])
    rater = rate("r", human, said, np.arange(7), draws=FEW)
    assert (rater.pairs, rater.graded) == (7, 4)
    assert rater.coverage == pytest.approx(4 / 7)
    zero, one, two, three = rater.grades
    assert (zero.given, zero.human, zero.precision, zero.recall, zero.coverage) == (2, 4, 1.0, 2 / 3, 3 / 4)
    assert (two.given, two.human, two.precision, two.recall, two.coverage) == (2, 2, 1 / 2, 1.0, 1 / 2)
    assert (one.given, one.human) == (0, 0)
    assert math.isnan(one.precision)
    assert math.isnan(one.coverage)
    assert (three.human, three.coverage) == (1, 0.0)
    assert math.isnan(three.recall)
    assert rater.confusion == ((2, 0, 1, 0), (0, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 0))


def test_intervals_are_drawn_over_queries_not_pairs() -> None:
    rng = np.random.default_rng(0)
    human = rng.integers(0, 4, 400)
    said = np.where(np.arange(400) < 200, human, (human + 1) % 4)  # right on half of the queries
    alone = rate("r", human, said, np.arange(400), draws=FEW).measures["accuracy"]
    together = rate("r", human, said, np.arange(400) // 40, draws=FEW).measures["accuracy"]
    assert alone.mean == together.mean == 0.5
    assert together.high - together.low > 3 * (alone.high - alone.low)
    assert (alone.n, together.n) == (400, 10)


def test_a_distribution_that_is_right_as_often_as_it_says_is_calibrated() -> None:
    rng = np.random.default_rng(1)
    sure = rng.uniform(0.4, 1.0, 20_000)
    human = np.where(rng.random(20_000) < sure, 2, 1)
    given_two = np.full(20_000, 2)
    probabilities = np.stack([np.zeros_like(sure), 1 - sure, sure, np.zeros_like(sure)], axis=1)
    found = calibration(human, given_two, probabilities)
    assert found is not None
    assert found < 0.02
    boast = np.where(probabilities == probabilities.max(axis=1, keepdims=True), 1.0, 0.0)
    assert calibration(human, given_two, boast) == pytest.approx(0.3, abs=0.05)
    assert calibration(human, given_two, np.full((20_000, 4), np.nan)) is None


def labels() -> pd.DataFrame:
    rows = [
        ("q1", "d1", 0, "unanimous", [["a", 0], ["b", 0]], 0.1, (1, 0, 0, 0)),
        ("q1", "d2", None, "dropped", [["a", 1], ["b", 3]], 0.2, (0, 0.5, 0, 0.5)),
        ("q2", "d1", 3, "unanimous", [["a", 3], ["b", 3]], 0.1, (0, 0, 0, 1)),
        ("q2", "d2", 2, "human", [["a", 1], ["b", None]], 0.1, (0, 0, 1, 0)),
        ("q3", "d1", None, "failed", [["a", None]], 0.0, (None,) * 4),
        ("q3", "d9", 1, "unanimous", [["a", 1], ["b", 1]], 0.1, (0, 1, 0, 0)),  # nobody graded it
    ]
    frame = pd.DataFrame(
        [(*row[:6], *row[6]) for row in rows],
        columns=["query_id", "doc_id", "grade", "outcome", "votes", "cost", "p0", "p1", "p2", "p3"],
    )
    return frame.astype({"grade": "Int8"})


GOLD = pd.DataFrame(
    [("q1", "d1", 0), ("q1", "d2", 3), ("q2", "d1", 2), ("q2", "d2", 2), ("q3", "d1", 1), ("q0", "d0", 1)],
    columns=["query_id", "doc_id", "grade"],
)


def test_a_file_of_labels_is_measured_as_a_panel_its_judges_and_its_outcomes() -> None:
    report = agreement(labels(), GOLD, FEW)
    assert (report.labels, report.kept, report.matched) == (6, 4, 5)
    assert (report.panel.pairs, report.panel.graded) == (5, 3)
    assert report.panel.measures["accuracy"].mean == pytest.approx(2 / 3)
    a, b = report.judges
    assert (a.name, a.pairs, a.graded) == ("a", 5, 4)
    assert (b.name, b.pairs, b.graded) == ("b", 4, 3)  # it was not asked of q3, d1, and failed on q2, d2
    assert b.measures["accuracy"].mean == pytest.approx(2 / 3)
    told = {item.outcome: (item.labels, item.graded, item.accuracy, item.cost) for item in report.outcomes}
    assert list(told) == ["unanimous", "human", "dropped", "failed"]
    assert told["unanimous"][:3] == (3, 2, 0.5)
    assert told["unanimous"][3] == pytest.approx(0.3)
    assert told["human"] == (1, 1, 1.0, 0.1)
    assert told["dropped"][:2] == (1, 0)
    assert report.cost == pytest.approx(0.6)
    assert report.cost_per_kept == pytest.approx(0.15)
    assert report.panel.ece == pytest.approx(1 / 3)
    assert report.to_json()["outcomes"][2]["accuracy"] is None


def test_ids_and_grades_alone_are_enough() -> None:
    report = agreement(labels()[["query_id", "doc_id", "grade"]], GOLD, FEW)
    assert (report.judges, report.outcomes, report.panel.ece, report.cost) == ((), (), None, 0.0)
    assert report.panel.graded == 3


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="none of the 6 labels has a human grade"):
        agreement(labels(), GOLD.assign(query_id="elsewhere", doc_id=[str(n) for n in range(6)]), FEW)
    with pytest.raises(DataError, match="labels hold the pair q1, d1 twice"):
        agreement(pd.concat([labels(), labels()[:1]]), GOLD, FEW)
    with pytest.raises(DataError, match="human grades hold the pair q2, d1 twice"):
        agreement(labels(), pd.concat([GOLD, GOLD[2:3]]), FEW)


def test_labels_of_which_none_is_kept_have_no_figures_and_no_crash() -> None:
    report = agreement(labels().assign(grade=pd.array([None] * 6, dtype="Int8")), GOLD, FEW)
    assert report.panel.graded == 0
    assert all(math.isnan(value.mean) for value in report.panel.measures.values())
    assert math.isnan(report.cost_per_kept)


@pytest.mark.parametrize(
    ("judge", "year", "kappa", "binary"),
    [("gpt-4o_umbrela", 2020, 0.341, 0.450), ("prompt_mistral_graded_32", 2021, 0.250, None)],
)
def test_published_agreement_of_recorded_judges_is_found_again(
    shared_data: Callable[[str], Path], judge: str, year: int, kappa: float, binary: float | None
) -> None:
    folder = shared_data("trec-dl")
    pairs = pd.read_parquet(folder / "pairs.parquet", columns=["query_id", "doc_id", "grade", "timestamp"])
    said = pd.read_parquet(folder / "judgments.parquet", filters=[("judge", "==", judge)])
    said["grade"] = said["label"].where(said["label"].between(0, 3)).astype("Int8")
    gold = pairs[pairs["timestamp"].dt.year == year]
    measures = agreement(said[["query_id", "doc_id", "grade"]], gold, FEW).panel.measures
    assert measures["kappa"].mean == pytest.approx(kappa, abs=0.001)
    assert binary is None or measures["binary_kappa"].mean == pytest.approx(binary, abs=0.001)
