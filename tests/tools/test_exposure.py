"""Windows of different length: what comes up more often because more was asked is no drift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mining_desks import unit

from serm.tools.drift_report import Drift, detect
from serm.tools.exposure import stretches, thinned
from serm.tools.query_sample import Asked, QuerySample

pytestmark = pytest.mark.slow  # hundreds of drift tests

HEAD, TAIL = 40, 4_000
LAW = np.r_[np.full(HEAD, 0.6 / HEAD), np.full(TAIL, 0.4 / TAIL)]
VECTORS = unit(np.random.default_rng(0).normal(size=(HEAD + TAIL, 16)))
NAMES = np.array([f"head h{i}" for i in range(HEAD)] + [f"long tail t{i}" for i in range(TAIL)])


def asked(rng: np.random.Generator, requests: int) -> tuple[np.ndarray, Asked]:
    """Distinct queries of so many requests, by one law, and how often each came."""
    rows, times = np.unique(rng.choice(len(LAW), requests, p=LAW), return_counts=True)
    return rows, Asked(NAMES[rows].tolist(), times.astype(float))


def sample(rows: np.ndarray, **more: object) -> QuerySample:
    return QuerySample(VECTORS[rows], NAMES[rows].tolist(), **more)  # type: ignore[arg-type]


def compared(seed: int, requests: int, *, levelled: bool = True, new: int = 0) -> Drift:
    """Five windows of 300 requests against one of another length, `new` queries of one new word in it."""
    rng = np.random.default_rng(seed)
    before = [asked(rng, 300) for _ in range(5)]
    rows, now = asked(rng, requests)
    names = [*(f"zorblet {i}" for i in range(new)), *now.names[new:]]
    times = now.times
    assert times is not None
    counts, stretch = stretches([part for _, part in before], Asked(names, times), seed=seed)
    if not levelled:
        counts, stretch = [np.ones(len(part), dtype=bool) for part in counts], None
    reference = sample(np.concatenate([row for row, _ in before]), counts=np.concatenate(counts))
    current = QuerySample(VECTORS[rows], names, counts=thinned(times, stretch, seed=[seed]))
    return detect(reference, current, level=0.05, seed=seed)


@pytest.mark.parametrize("requests", [150, 1_500])
def test_a_longer_or_shorter_window_of_the_same_queries_raises_no_more_alarms(requests: int) -> None:
    alarms = sum(compared(seed, requests).drifted for seed in range(40))
    assert alarms <= 5  # of 40 at level .05: 6 or more come with a chance of 1%


def test_without_stretches_of_one_length_the_tail_of_a_long_window_looks_like_drift() -> None:
    assert sum(compared(seed, 1_500, levelled=False).drifted for seed in range(5)) == 5


def test_what_is_new_in_a_longer_window_is_found_with_all_of_its_queries() -> None:
    found = [
        region
        for region in compared(1, 1_500, new=60).regions
        if region.kind == "new" and region.name == "zorblet"
    ]
    assert [len(region.members) for region in found] == [60]
    assert found[0].current < 60  # those that a window as long as the others would have had


def part(*times: float, name: str = "q") -> Asked:
    return Asked([f"{name}{i}" for i in range(len(times))], np.array(times))


def test_windows_of_about_one_length_are_stretches_by_themselves_and_lose_next_to_nothing() -> None:
    counts, requests = stretches([part(50, 50), part(48, 45)], part(60, 40), seed=0)
    assert requests == 93
    assert [count.tolist() for count in counts] == [[True, True], [True, True]]


def test_short_windows_make_a_stretch_together_in_which_a_query_counts_once() -> None:
    days = [Asked(["every day", *(f"{day} {i}" for i in range(19))], np.ones(20)) for day in range(5)]
    counts, requests = stretches(days, part(*[1.0] * 100), seed=0)
    # Four days come to 80 of 100 requests, near enough; the first day is a rest too short to compare.
    assert requests == 80
    assert [int(count.sum()) for count in counts] == [0, 19, 19, 19, 20]
    assert not any(count[0] for count in counts[:4])


def test_a_shorter_stretch_is_taken_where_thinning_to_it_loses_next_to_nothing() -> None:
    counts, requests = stretches([part(*[30.0] * 9), part(*[60.0] * 9, name="p")], part(*[60.0] * 9), seed=0)
    assert requests == 270
    assert all(count.all() for count in counts)


def test_a_past_that_is_shorter_than_the_window_is_one_stretch() -> None:
    counts, requests = stretches([part(5), part(5, 10, name="p")], part(100, 50), seed=0)
    assert requests == 20
    assert all(count.all() for count in counts)


def test_a_part_that_does_not_tell_its_requests_counts_as_it_is() -> None:
    seed = Asked(["a", "b"])
    counts, requests = stretches([seed, part(100)], part(99), seed=0)
    assert (requests, counts[0].tolist()) == (99, [True, True])
    assert stretches([seed], part(3), seed=0)[1] is None
    assert stretches([part(3)], seed, seed=0)[1] is None
    assert thinned(None, 3.0, seed=[0]) is None


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.floats(0.01, 1), st.integers(0, 99))
def test_as_many_queries_stay_as_a_shorter_stretch_would_have(
    times: list[int], share: float, seed: int
) -> None:
    counts = np.repeat(np.array(times, dtype=float), 200)
    kept = thinned(counts, share * counts.sum(), seed=[seed])
    if kept is None:
        assert share == 1
        return
    chance = 1 - (1 - share) ** counts
    assert abs(kept.sum() - chance.sum()) <= 5 * np.sqrt((chance * (1 - chance)).sum()) + 1
