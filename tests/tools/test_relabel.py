"""Re-labelling: conflict makes a labelled pair worth asking again, agreement does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from serm.tools.relabel import NO_VOTE, Trust, trust, worth_again, worth_first, worth_more

EVEN = Trust(judges=np.ones(3), model=1.0, right=0.9)


def sure_of(grade: int, much: float = 0.97) -> np.ndarray:
    row = np.full(4, (1 - much) / 3)
    row[grade] = much
    return row


def test_a_label_that_the_model_contradicts_is_worth_more_than_one_that_it_shares() -> None:
    votes, labels = np.full((2, 3), 2), np.array([2, 2])
    conflict, shared = worth_again(votes, labels, np.stack([sure_of(0), sure_of(2)]), EVEN)
    assert conflict > shared


def test_a_label_of_few_votes_or_split_ones_is_worth_more_than_one_that_all_gave() -> None:
    votes = np.array([[2, 2, 2], [2, 2, NO_VOTE], [2, 2, 1]])
    all_three, two, split = worth_again(votes, np.full(3, 2), np.tile(sure_of(2, 0.5), (3, 1)), EVEN)
    assert all_three < two < split


def test_a_label_that_all_share_is_worth_less_than_the_surest_new_pair() -> None:
    again = worth_again(np.full((1, 3), 2), np.array([2]), sure_of(2)[None], EVEN)
    assert again[0] < worth_first(sure_of(2)[None], EVEN)[0]


def test_new_pairs_are_worth_the_more_the_less_sure_the_model_is() -> None:
    values = worth_first(np.stack([sure_of(0), sure_of(1, 0.6), np.full(4, 0.25)]), EVEN)
    assert values[0] < values[1] < values[2] == pytest.approx(0.75)


def test_a_judge_that_contradicts_the_others_and_a_poor_model_count_little() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 400)
    votes = np.stack([truth, truth, rng.integers(0, 4, 400)], axis=1)
    poor = trust(votes, truth, np.tile(sure_of(0), (400, 1)))
    good = trust(votes, truth, np.stack([sure_of(int(grade)) for grade in truth]))
    assert poor.judges[2] < 0.3 * poor.judges[0]
    assert poor.model < 0.1
    assert good.model > 1
    assert 0.7 < good.right < 0.8  # two right votes of three, and a quarter of the third's


def test_votes_that_are_not_there_are_no_votes() -> None:
    held = trust(np.full((5, 2), NO_VOTE), np.zeros(5, dtype=np.int64), np.full((5, 4), 0.25))
    assert held.model == 1.0
    assert held.judges.tolist() == [1.0, 1.0]


@settings(max_examples=80, deadline=None)
@given(
    again=arrays(np.float64, st.integers(0, 12), elements=st.floats(0, 1)),
    first=arrays(np.float64, st.integers(0, 12), elements=st.floats(0, 1)),
    budget=st.integers(0, 15),
    most=st.integers(0, 15),
)
def test_what_is_asked_again_is_what_the_best_of_all_pairs_hold(
    again: np.ndarray, first: np.ndarray, budget: int, most: int
) -> None:
    rows = worth_more(again, first, budget, most)
    assert len(rows) <= min(budget, most, len(again))
    assert len(set(rows.tolist())) == len(rows)
    pool = sorted([*((-value, 0) for value in first), *((-value, 1) for value in again)])  # ties: new ones
    assert len(rows) == min(most, sum(is_again for _, is_again in pool[:budget]))
    assert sorted(again[rows]) == sorted(np.sort(again)[len(again) - len(rows) :])
