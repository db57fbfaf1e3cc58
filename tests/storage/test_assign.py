"""Sets are disjoint by query, whatever the rules say and however the rows come."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serm.core.hashing import query_bucket
from serm.core.settings_data import Buckets, DataSettings, SetRule, When
from serm.storage.assign import GATE, NONE, SEED, SETS, STREAM, TEST, assign_sets, conflicts, matches
from serm.storage.plan import plan


def keys(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A keys frame; what a row does not say is empty."""
    empty = {"source": "s", "language": "", "split": "", "timestamp": None, "graded": True, "file": "f"}
    empty |= {"logged": False, "said": 0}
    frame = pd.DataFrame(
        [{**empty, "pair": number, **row, "row": number} for number, row in enumerate(rows, start=1)]
    )
    frame["grade"] = np.where(frame["graded"], 1, -1).astype(np.int8)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"]).astype("datetime64[us]")
    return frame.astype(
        dict.fromkeys(("query_id", "source", "language", "split", "file"), "category") | {"graded": bool}
    )


SPLITS = st.sampled_from(["", "train", "dev", "test", "stream", "gate", "seed", "odd"])
ROW = st.fixed_dictionaries(
    {
        "query_id": st.sampled_from([f"q{number}" for number in range(12)]),
        "source": st.sampled_from(["a", "b"]),
        "language": st.sampled_from(["en", "de"]),
        "split": SPLITS,
        "timestamp": st.sampled_from([None, "2024-01-01", "2024-03-05", "2025-01-01"]),
        "graded": st.booleans(),
    }
)
WHEN = st.builds(
    When,
    source=st.none() | st.just(("a",)),
    language=st.none() | st.just(("de",)),
    split=st.none() | st.tuples(SPLITS),
    after=st.none() | st.just(datetime(2024, 2, 1)),
    buckets=st.none() | st.builds(Buckets, modulus=st.just(3), values=st.tuples(st.integers(0, 2))),
    graded=st.none() | st.booleans(),
    first_queries=st.none() | st.integers(1, 4),
)
RULES = st.lists(st.builds(SetRule, set=st.sampled_from(SETS), when=WHEN), max_size=5)
WINDOWS = st.fixed_dictionaries(
    {"by": st.sampled_from(["auto", "time", "size"]), "pairs": st.integers(1, 30), "period": st.just("30D")}
)


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(ROW, min_size=1, max_size=60), rules=RULES, windows=WINDOWS)
def test_no_query_is_in_two_sets(
    rows: list[dict[str, Any]], rules: list[SetRule], windows: dict[str, Any]
) -> None:
    frame = keys(rows)
    data = DataSettings.model_validate(
        {"sources": [{"pairs": "p"}], "sets": [rule.model_dump() for rule in rules], "windows": windows}
    )
    made = plan(frame, data)
    tests = np.isin(np.arange(len(rows)), np.concatenate([numbers for _, numbers in made.tests]))
    sets = [set(frame["query_id"][mask]) for mask in (made.seed, made.gate, made.stream, tests)]
    for index, queries in enumerate(sets):
        for other in sets[:index]:
            assert not queries & other


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(ROW, min_size=1, max_size=60), rules=RULES, windows=WINDOWS)
def test_every_row_is_in_one_set_or_left_out_and_counted_or_rejected(
    rows: list[dict[str, Any]], rules: list[SetRule], windows: dict[str, Any]
) -> None:
    frame = keys(rows)
    data = DataSettings.model_validate(
        {"sources": [{"pairs": "p"}], "sets": [rule.model_dump() for rule in rules], "windows": windows}
    )
    made = plan(frame, data)
    tests = np.isin(np.arange(len(rows)), np.concatenate([numbers for _, numbers in made.tests]))
    taken = int((made.seed | made.gate | made.stream | tests).sum())
    assert taken + sum(made.left_out.values()) + len(made.rejects) == len(rows)


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(ROW, min_size=1, max_size=60), rules=RULES, order=st.randoms(use_true_random=False))
def test_a_rows_set_does_not_depend_on_the_order_of_the_rows(
    rows: list[dict[str, Any]], rules: list[SetRule], order: Any
) -> None:
    numbers = list(range(len(rows)))
    order.shuffle(numbers)
    straight = assign_sets(keys(rows), rules)
    shuffled = assign_sets(keys([rows[number] for number in numbers]), rules)
    assert straight[numbers].tolist() == shuffled.tolist()


@given(st.lists(st.text(min_size=1), min_size=1, max_size=30))
def test_buckets_are_those_of_the_protocols(query_ids: list[str]) -> None:
    frame = keys([{"query_id": query_id} for query_id in query_ids])
    mask = matches(When(buckets=Buckets(modulus=5, values=(0,))), frame)
    assert mask.tolist() == [query_bucket(query_id, 5) == 0 for query_id in query_ids]


def test_more_digits_take_the_whole_hash() -> None:
    query_ids = [str(number) for number in range(50)]
    mask = matches(
        When(buckets=Buckets(modulus=2, values=(1,), digits=64)), keys([{"query_id": q} for q in query_ids])
    )
    odd = [int(hashlib.sha256(query_id.encode()).hexdigest(), 16) % 2 == 1 for query_id in query_ids]
    assert mask.tolist() == odd


def test_a_query_in_two_sets_stays_in_the_stricter_one() -> None:
    frame = keys(
        [
            {"query_id": "q", "split": "stream"},
            {"query_id": "q", "split": "test"},
            {"query_id": "r", "split": "stream"},
            {"query_id": "r", "split": "seed"},
            {"query_id": "s", "split": "seed"},
            {"query_id": "s", "split": "gate"},
        ]
    )
    clash, owner = conflicts(frame, assign_sets(frame, ()))
    assert clash.tolist() == [True, False, True, False, True, False]
    assert owner.tolist() == [TEST, TEST, SEED, SEED, GATE, GATE]


def test_the_first_rule_that_holds_decides() -> None:
    frame = keys([{"query_id": "q", "language": "de"}, {"query_id": "r", "language": "en"}])
    rules = [
        SetRule(set="test", when=When(language=("de",))),
        SetRule(set="gate", when=When(language=("de", "en"))),
    ]
    assert assign_sets(frame, rules).tolist() == [TEST, GATE]
    assert assign_sets(frame, rules[:1]).tolist() == [TEST, NONE]


def test_after_is_inclusive_before_is_not_and_no_timestamp_is_in_neither() -> None:
    frame = keys([{"query_id": "q", "timestamp": day} for day in ("2024-01-01", "2024-02-01", None)])
    after = matches(When(after=datetime(2024, 1, 1, tzinfo=UTC)), frame)
    before = matches(When(before=datetime(2024, 2, 1)), frame)
    assert after.tolist() == [True, True, False]
    assert before.tolist() == [True, False, False]


def test_first_queries_counts_only_those_that_match_the_rest() -> None:
    frame = keys([{"query_id": f"q{n}", "language": "en" if n < 5 else "de"} for n in range(10)])
    mask = matches(When(language=("de",), first_queries=2), frame)
    expected = sorted(
        (f"q{n}" for n in range(5, 10)), key=lambda name: hashlib.sha256(name.encode()).hexdigest()
    )[:2]
    assert sorted(frame["query_id"][mask]) == sorted(expected)


@pytest.mark.parametrize(
    ("splits", "sets"),
    [
        (["seed", "gate", "stream", "test"], [SEED, GATE, STREAM, TEST]),
        (["train", "dev", "stream", "test"], [SEED, GATE, STREAM, TEST]),
        (["train", "Validation", "train", "test"], [STREAM, GATE, STREAM, TEST]),  # no stream: train is it
        (["stream", "gate", "test", "other"], [STREAM, GATE, TEST, NONE]),
        (["stream", "gate", "test", ""], [STREAM, GATE, TEST, NONE]),
    ],
)
def test_without_rules_the_column_split_decides(splits: list[str], sets: list[int]) -> None:
    frame = keys([{"query_id": f"q{n}", "split": split} for n, split in enumerate(splits)])
    assert assign_sets(frame, ()).tolist() == sets


def test_without_rules_and_splits_the_querys_hash_decides() -> None:
    query_ids = [f"q{number}" for number in range(40)]
    expected = [{0: GATE, 1: TEST}.get(query_bucket(query_id, 5), STREAM) for query_id in query_ids]
    for split in ("", "test"):  # a column that says the same of every row says nothing
        frame = keys([{"query_id": query_id, "split": split} for query_id in query_ids])
        assert assign_sets(frame, ()).tolist() == expected


def test_a_set_that_the_column_split_does_not_name_is_cut_out_of_the_stream() -> None:
    rows = [{"query_id": f"q{n}", "split": "train" if n < 40 else "test"} for n in range(50)]
    sets = assign_sets(keys(rows), ())
    assert (sets[40:] == TEST).all()
    expected = [GATE if query_bucket(f"q{n}", 5) == 0 else STREAM for n in range(40)]
    assert sets[:40].tolist() == expected
