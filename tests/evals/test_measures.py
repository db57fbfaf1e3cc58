from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serm.core.errors import DataError
from serm.evals.measures import per_query


def graded(*queries: list[int]) -> pd.DataFrame:
    """Query q0 with the first list's grades, and so on; document ids say nothing."""
    rows = [
        (f"q{i}", f"d{i}-{j}", grade) for i, grades in enumerate(queries) for j, grade in enumerate(grades)
    ]
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "grade"])


QUERY = st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5)), min_size=2, max_size=12)


def test_the_gain_is_two_to_the_grade_minus_one_and_the_discount_the_logarithm_of_the_rank() -> None:
    found = per_query(graded([0, 3, 1]), [3.0, 2.0, 1.0])
    dcg = 7 / np.log2(3) + 1 / np.log2(4)
    ideal = 7 / np.log2(2) + 1 / np.log2(3)
    assert found["ndcg@4"][0] == pytest.approx(dcg / ideal)
    assert found["ndcg@1"][0] == 0


def test_every_query_has_a_row_in_the_order_of_appearance_with_its_number_of_pairs() -> None:
    frame = graded([0, 3, 1], [2, 0]).iloc[[3, 0, 4, 1, 2]].reset_index(drop=True)
    found = per_query(frame, np.arange(5.0))
    assert found["query_id"].tolist() == ["q1", "q0"]
    assert found["pairs"].tolist() == [2, 3]


def test_a_query_with_one_grade_has_no_ndcg_and_says_whether_anything_was_relevant() -> None:
    found = per_query(graded([0, 0], [2, 2], [0, 1]), np.arange(6.0))
    assert found["ndcg@4"].isna().tolist() == [True, True, False]
    assert found["mixed"].tolist() == [False, False, True]
    assert found["relevant"].tolist() == [False, True, True]


def test_tied_documents_count_with_the_mean_over_all_their_orders() -> None:
    grades = [3, 0, 1, 0]
    every_order = [
        per_query(graded(grades), np.array(order, dtype=float))["ndcg@4"][0]
        for order in permutations(range(4))
    ]
    assert per_query(graded(grades), np.zeros(4))["ndcg@4"][0] == pytest.approx(np.mean(every_order))


def test_scores_closer_than_single_precision_still_rank() -> None:
    close = np.array([1.0, 1.0 + 1e-12])
    assert per_query(graded([0, 3]), close)["ndcg@1"][0] == 1
    assert per_query(graded([3, 0]), close)["ndcg@1"][0] == 0


@given(QUERY)
@settings(max_examples=60, deadline=None)
def test_ndcg_lies_between_0_and_1_and_the_perfect_order_reaches_1(query: list[tuple[int, int]]) -> None:
    grades, scores = [grade for grade, _ in query], np.array([score for _, score in query], dtype=float)
    found = per_query(graded(grades), scores)
    perfect = per_query(graded(grades), np.array(grades, dtype=float))
    for column in ("ndcg@1", "ndcg@4", "ndcg@10"):
        if len(set(grades)) == 1:
            assert np.isnan(found[column][0])
        else:
            assert -1e-12 <= found[column][0] <= 1 + 1e-12
            assert perfect[column][0] == pytest.approx(1)


@given(QUERY)
@settings(max_examples=60, deadline=None)
def test_ndcg_knows_the_order_of_the_scores_and_nothing_else_of_them(query: list[tuple[int, int]]) -> None:
    grades, scores = [grade for grade, _ in query], np.array([score for _, score in query], dtype=float)
    for transform in (np.exp, lambda x: 3 * x + 100, lambda x: x**3):
        pd.testing.assert_frame_equal(
            per_query(graded(grades), scores), per_query(graded(grades), transform(scores))
        )


@given(QUERY, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_neither_the_order_of_rows_nor_the_ids_of_documents_move_a_figure(
    query: list[tuple[int, int]], random: object
) -> None:
    frame = graded([grade for grade, _ in query]).assign(score=[float(score) for _, score in query])
    shuffled = frame.sample(frac=1, random_state=random.randrange(2**31)).reset_index(drop=True)  # type: ignore[attr-defined]
    shuffled["doc_id"] = [f"x{i}" for i in range(len(shuffled))]
    first, second = per_query(frame, frame["score"]), per_query(shuffled, shuffled["score"])
    assert first["ndcg@4"][0] == pytest.approx(second["ndcg@4"][0], nan_ok=True)


@pytest.mark.parametrize(
    ("frame", "scores", "says"),
    [
        (graded([0, 3]), [1.0, np.nan], "not finite"),
        (graded([0, 7]), [1.0, 2.0], "none of"),
        (graded([0, 3]).drop(columns="grade"), [1.0, 2.0], "no grades"),
        (graded([0, 3]).assign(doc_id="same"), [1.0, 2.0], "stands twice"),
        (graded([0, 3]).assign(grade=[0, None]), [1.0, 2.0], "none of"),
    ],
)
def test_what_cannot_be_measured_is_an_error_that_says_why(
    frame: pd.DataFrame, scores: list[float], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        per_query(frame, scores)


def test_an_empty_frame_gives_an_empty_table() -> None:
    assert per_query(graded([0, 1]).iloc[:0], []).empty


def by_year(frame: pd.DataFrame, scores: np.ndarray, column: str = "ndcg@4") -> list[float]:
    year = frame.groupby("query_id")["timestamp"].first().dt.year
    return per_query(frame, scores).set_index("query_id")[column].groupby(year).mean().tolist()


def test_trec_dl_gives_the_known_figures_for_random_order_and_for_gpt_4o(
    shared_data: Callable[[str], Path],
) -> None:
    folder = shared_data("trec-dl")
    frame = pd.read_parquet(folder / "pairs.parquet")
    judgments = pd.read_parquet(folder / "judgments.parquet")
    judge = judgments[judgments["judge"] == "gpt-4o_umbrela"].set_index(["query_id", "doc_id"])["label"]
    labels = frame.set_index(["query_id", "doc_id"]).index.map(judge).to_numpy(dtype=float)
    # one random order was .179 / .134 / .247; this is the mean over all of them
    assert by_year(frame, np.zeros(len(frame))) == pytest.approx([0.179, 0.134, 0.247], abs=0.006)
    # the published figures leave ties in the order of the rows, which is worth up to 3 points on a year
    in_row_order = labels - np.arange(len(frame)) * 1e-6
    assert by_year(frame, in_row_order) == pytest.approx([0.588, 0.632, 0.636], abs=0.0006)
    assert by_year(frame, labels) == pytest.approx([0.622, 0.622, 0.616], abs=0.0006)


def test_chorus_queries_with_one_grade_are_apart(shared_data: Callable[[str], Path]) -> None:
    frame = pd.read_parquet(shared_data("chorus") / "pairs.parquet")
    found = per_query(frame, np.zeros(len(frame)))
    assert (int(found["mixed"].sum()), len(found)) == (99, 135)
    assert found["ndcg@4"].mean() == pytest.approx(0.449, abs=0.006)
