"""A person's time goes to the pairs that tell most."""

from __future__ import annotations

import math
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from serm.core.records import GRADES, PairKey
from serm.tools.review_order import review_order

votes_of_pairs = st.lists(st.lists(st.sampled_from(GRADES), min_size=1, max_size=7), min_size=1, max_size=30)


def shares(votes: list[int]) -> list[float]:
    return [votes.count(grade) / len(votes) for grade in GRADES]


def entropy(votes: list[int]) -> float:
    return -sum(share * math.log(share) for share in shares(votes) if share)


def order(votes: list[list[int]], limit: int, keys: list[PairKey] | None = None) -> list[int]:
    keys = keys or [PairKey(f"q{number}", "d") for number in range(len(votes))]
    return review_order(keys, [shares(one) for one in votes], votes, limit)


def test_the_nearest_tie_comes_first_and_the_wider_spread_before_the_narrower() -> None:
    votes = [[1, 1, 2], [0, 1, 2], [0, 0, 3], [2, 2, 2]]
    assert order(votes, 10) == [1, 2, 0, 3]
    assert order(votes, 2) == [1, 2]


def test_a_querys_pairs_stand_together_behind_its_most_informative_one() -> None:
    votes = [[0, 1, 2], [0, 0, 3], [1, 1, 2]]
    keys = [PairKey("a", "1"), PairKey("b", "1"), PairKey("a", "2")]
    assert order(votes, 3, keys) == [0, 2, 1]


@given(votes_of_pairs, st.integers(0, 40))
def test_no_pair_that_is_left_out_tells_more_than_one_that_is_asked(
    votes: list[list[int]], limit: int
) -> None:
    asked = order(votes, limit)
    assert len(asked) == len(set(asked)) == min(limit, len(votes))
    left = set(range(len(votes))) - set(asked)
    least = min((entropy(votes[place]) for place in asked), default=math.inf)
    assert all(entropy(votes[place]) <= least + 1e-8 for place in left)


@given(votes_of_pairs, st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order_of_the_pairs(votes: list[list[int]], random: Random) -> None:
    keys = [PairKey(f"q{number % 4}", f"d{number}") for number in range(len(votes))]
    places = list(range(len(votes)))
    random.shuffle(places)
    mixed = order([votes[place] for place in places], 5, [keys[place] for place in places])
    assert [places[place] for place in mixed] == order(votes, 5, keys)
