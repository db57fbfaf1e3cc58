from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from types import FrameType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from serm.relevance_model.batches import Rows, batches, query_lists
from serm.relevance_model.losses import cross_entropy, listwise


@settings(deadline=None)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=80), st.integers(2, 10), st.integers(0, 99))
def test_every_row_is_in_exactly_one_list_of_its_own_query(values: list[int], size: int, seed: int) -> None:
    groups = np.array(values)
    lists = query_lists(groups, np.zeros(len(groups)), size, np.random.default_rng(seed))
    assert sorted(int(row) for rows in lists for row in rows) == list(range(len(groups)))
    assert all(len(rows) <= size and len(set(groups[rows])) == 1 for rows in lists)


def test_parts_of_a_long_query_all_span_its_grades() -> None:
    grades = np.array([0.0] * 20 + [3.0] * 4)
    lists = query_lists(np.zeros(24, dtype=np.int64), grades, 6, np.random.default_rng(0))
    assert [int(grades[rows].max()) for rows in lists] == [3, 3, 3, 3]
    assert [len(rows) for rows in lists] == [6, 6, 6, 6]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=4), min_size=1, max_size=30),
    st.integers(1, 6),
    st.integers(0, 99),
)
def test_every_list_is_in_exactly_one_batch(documents: list[list[int]], per_batch: int, seed: int) -> None:
    flat = [item for row in documents for item in row]
    ends = np.cumsum([len(row) for row in documents])
    lists = [np.arange(end - len(row), end) for row, end in zip(documents, ends, strict=True)]
    found = batches(lists, flat, per_batch, np.random.default_rng(seed))
    assert all(1 <= len(batch) <= per_batch for batch in found)
    assert sorted(int(rows[0]) for batch in found for rows in batch) == [int(rows[0]) for rows in lists]


def _plainly(
    lists: Sequence[Rows], documents: Sequence[Hashable], per_batch: int, rng: np.random.Generator
) -> list[list[Rows]]:
    """`batches` as one would write it, in the square of the lists that share a document."""
    order = [int(item) for item in rng.permutation(len(lists))]
    holders: dict[Hashable, list[int]] = defaultdict(list)
    for number in order:
        for row in lists[number]:
            holders[documents[row]].append(number)
    used: set[int] = set()
    result: list[list[Rows]] = []
    while len(used) < len(lists):
        batch: list[Rows] = []
        shared: Counter[int] = Counter()
        while len(batch) < per_batch and len(used) < len(lists):
            if shared:
                chosen = max(shared, key=lambda item: (shared[item], -item))
            else:
                chosen = next(item for item in order if item not in used)
            used.add(chosen)
            batch.append(lists[chosen])
            shared.pop(chosen, None)
            for document in {documents[row] for row in lists[chosen]}:
                shared.update(item for item in holders[document] if item not in used)
        result.append(batch)
    return [result[int(item)] for item in rng.permutation(len(result))]


def _require_the_same(
    lists: Sequence[Rows], documents: Sequence[Hashable], per_batch: int, seed: int
) -> None:
    found = batches(lists, documents, per_batch, np.random.default_rng(seed))
    expected = _plainly(lists, documents, per_batch, np.random.default_rng(seed))
    assert [[rows.tolist() for rows in batch] for batch in found] == [
        [rows.tolist() for rows in batch] for batch in expected
    ]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=6), max_size=60),
    st.integers(1, 70),
    st.integers(0, 99),
)
def test_batches_are_those_of_the_plain_way(documents: list[list[int]], per_batch: int, seed: int) -> None:
    ends = np.cumsum([len(row) for row in documents], dtype=np.int64)
    lists = [np.arange(end - len(row), end) for row, end in zip(documents, ends, strict=True)]
    _require_the_same(lists, [f"d{item}" for row in documents for item in row], per_batch, seed)


@pytest.mark.parametrize("kind", ["few popular", "all alike", "own"])
@pytest.mark.parametrize("per_batch", [8, 40])
def test_batches_of_many_lists_are_those_of_the_plain_way(kind: str, per_batch: int) -> None:
    rng = np.random.default_rng(2)
    count, size = 1_500, 8
    drawn = {
        "few popular": rng.zipf(1.3, count * size) % 500,
        "all alike": rng.integers(0, 150, count * size),
        "own": np.arange(count * size) // 2,
    }
    lists = query_lists(np.repeat(np.arange(count), size), rng.random(count * size), size, rng)
    _require_the_same(lists, drawn[kind].tolist(), per_batch, 3)


def test_a_document_of_all_lists_is_not_looked_at_for_each_of_them_each_time() -> None:
    """Counted in calls of functions, which no clock disturbs."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    lists = [np.array([number]) for number in range(2_000)]
    sys.setprofile(count)
    try:
        batches(lists, ["one"] * len(lists), 8, np.random.default_rng(0))
    finally:
        sys.setprofile(None)
    assert calls < 30 * len(lists)


def test_queries_over_the_same_documents_share_a_batch() -> None:
    documents = [f"article{number % 5}" for number in range(40)]  # eight queries to each of five articles
    lists = [np.array([number]) for number in range(40)]
    found = batches(lists, documents, 8, np.random.default_rng(1))
    assert [len({documents[rows[0]] for rows in batch}) for batch in found] == [1] * 5


def test_a_list_in_perfect_order_costs_less_than_one_upside_down() -> None:
    targets = torch.eye(4)[[3, 1, 0]]
    lists = torch.zeros(3, dtype=torch.int64)
    good = listwise(torch.tensor([3.0, 1.0, 0.0]), targets, lists, 1)
    bad = listwise(torch.tensor([0.0, 1.0, 3.0]), targets, lists, 1)
    assert abs(good.item()) < 1e-6
    assert bad > good + 1


def test_a_list_of_equal_grades_teaches_no_order() -> None:
    scores = torch.tensor([1.0, -1.0, 2.0, 0.0], requires_grad=True)
    targets = torch.eye(4)[[2, 2, 3, 0]]
    listwise(scores, targets, torch.tensor([0, 0, 1, 1]), 2).backward()
    assert scores.grad is not None
    assert scores.grad[:2].abs().max() == 0
    assert scores.grad[2:].abs().min() > 0


def test_lists_are_told_apart_and_weigh_the_same() -> None:
    one = listwise(torch.tensor([0.0, 1.0]), torch.eye(4)[[3, 0]], torch.zeros(2, dtype=torch.int64), 1)
    two = listwise(
        torch.tensor([0.0, 1.0, 50.0, 51.0]),
        torch.eye(4)[[3, 0, 3, 0]],
        torch.tensor([0, 0, 1, 1]),
        2,
    )
    torch.testing.assert_close(one, two)


def test_cross_entropy_of_a_soft_target_is_least_at_the_target() -> None:
    target = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    at_target = cross_entropy(target.log(), target)
    elsewhere = cross_entropy(torch.full((1, 4), 0.25).log(), target)
    assert at_target < elsewhere
