"""The stop with a risk: what it estimates, and that it stops no later than the exact one."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serm.agents.paths import change, majority, settled
from serm.llm.base import cache_key
from serm.llm.simulated import SimulatedJudge


@pytest.mark.parametrize(
    ("grades", "remaining"), [((2,), 4), ((1, 1), 5), ((0, 0, 3), 4), ((2, 2, 2), 4), ((1, 1, 1, 0, 0), 2)]
)
def test_the_estimate_is_that_of_drawing_the_further_paths(grades: tuple[int, ...], remaining: int) -> None:
    """Dirichlet draws by gamma variates, then votes: another way to the same number."""
    rng, counts = random.Random(4), Counter(grades)
    leader, changed, draws = majority(grades), 0, 20_000
    for _ in range(draws):
        weights = [rng.gammavariate(counts[grade] + 1, 1.0) for grade in range(4)]
        changed += majority([*grades, *rng.choices(range(4), weights, k=remaining)]) != leader
    assert change(grades, remaining) == pytest.approx(changed / draws, abs=0.012)


@given(grades=st.lists(st.sampled_from((0, 1, 2, 3, None)), max_size=9), remaining=st.integers(0, 6))
@settings(deadline=None)
def test_no_risk_is_the_exact_stop_and_more_risk_stops_no_later(
    grades: list[int | None], remaining: int
) -> None:
    exact = settled(grades, remaining)
    assert settled(grades, remaining, 0.0) == exact
    some, more = settled(grades, remaining, 0.05), settled(grades, remaining, 0.3)
    assert exact <= some <= more
    if exact and remaining and majority(grades) is not None:
        assert change(grades, remaining) == 0.0
    if more and remaining > 0:
        assert majority(grades) is not None, "a tie is never settled"


def test_a_judgment_made_with_risk_has_a_key_of_its_own_where_there_are_paths_to_leave_out() -> None:
    from serm.core import Pair

    pair = Pair("q", "d", "a query", "a text")
    for path, differ in ((0.5, True), (0.0, False)):  # the one slips path by path, the other never differs
        judge = SimulatedJudge("a", {}, accuracy=0.9, shared=0.0, seed=1, path=path)
        assert (cache_key(judge, pair, 7) != cache_key(judge, pair, 7, 0.05)) is differ
        assert cache_key(judge, pair, 1) == cache_key(judge, pair, 1, 0.05)
