"""A log that goes on under its workspace: what a round has used stays, what none has used may change."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite import SqliteSaver

from serm.core.errors import DataError, StorageError, WorkspaceMismatchError
from serm.core.hashing import query_bucket
from serm.storage.dataset import DataSet
from serm.storage.plan import HELD
from serm.storage.windows_used import CHECKPOINTS, windows_used

Ingested = Callable[..., DataSet]

TIME = {"by": "time", "period": "30D"}
HOLD = {**TIME, "open": "hold"}


def log(days: int, first: int = 0) -> list[dict[str, Any]]:
    """Six queries a day of two documents, each with a human grade."""
    return [
        {
            "query_id": f"q{day}-{query}",
            "doc_id": f"d{doc}",
            "query": f"query {day} {query}",
            "text": f"text of {doc}",
            "grade": (query + doc) % 4,
            "timestamp": (pd.Timestamp("2026-01-01") + pd.Timedelta(day, "D")).isoformat(),
        }
        for day in range(first, days)
        for query in range(6)
        for doc in range(2)
    ]


def names(dataset: DataSet) -> list[str]:
    return [window.name for window in dataset.windows]


def begin_rounds(folder: Path, last: int) -> None:
    """As rounds 0 to `last` do once they have labels."""
    for number in range(last + 1):
        (folder / "work" / "rounds" / f"{number:03d}").mkdir(exist_ok=True)


def checkpoint(folder: Path, **state: Any) -> None:
    """As a step of the loop does."""
    with closing(sqlite3.connect(folder / CHECKPOINTS)) as database:
        kept = empty_checkpoint() | {"channel_values": state}
        where = {"configurable": {"thread_id": "evolution", "checkpoint_ns": ""}}
        SqliteSaver(database).put(where, kept, {}, {})  # type: ignore[arg-type]


# The first thirty days are the seed, as no rule makes another; the gate and the test are cut out by hash.


def test_a_log_may_grow_in_a_window_that_no_round_has_used(tmp_path: Path, ingested: Ingested) -> None:
    one = ingested(log(70), windows=TIME)
    begin_rounds(tmp_path, 1)
    two = ingested(log(75), windows=TIME)
    assert names(one) == names(two) == ["2026-01-31", "2026-03-02"]
    assert one.windows[0].id == two.windows[0].id
    assert one.windows[1].pairs < two.windows[1].pairs
    assert len(one.test("test")) < len(two.test("test"))
    assert len(ingested(log(95), windows=TIME).windows) == 3


def test_a_window_that_a_round_has_used_may_not_grow(tmp_path: Path, ingested: Ingested) -> None:
    ingested(log(70), windows=TIME)
    begin_rounds(tmp_path, 2)
    with pytest.raises(WorkspaceMismatchError, match="window 2026-03-02 is another") as raised:
        ingested(log(75), windows=TIME)
    assert "open: hold" in raised.value.remedy
    ingested(log(70), windows=TIME)  # put back, it goes on


def test_a_first_row_with_a_wrong_date_is_told_by_the_day_that_windows_count_from(
    tmp_path: Path, ingested: Ingested
) -> None:
    ingested(log(70), windows=HOLD)
    begin_rounds(tmp_path, 1)
    wrong = [{**row, "query_id": "old", "timestamp": "1970-01-01T00:00:00"} for row in log(1)[:1]]
    said = r"is another \(the first window was 2026-01-31 and is \S+ now: has a row a wrong `timestamp`\?\)"
    with pytest.raises(WorkspaceMismatchError, match=said):
        ingested([*log(70), *wrong], windows=HOLD)


def test_a_round_that_was_killed_before_its_labels_keeps_its_window(
    tmp_path: Path, ingested: Ingested
) -> None:
    ingested(log(70), windows=TIME)
    begin_rounds(tmp_path, 1)
    checkpoint(tmp_path / "work", round=1)
    ingested(log(72), windows=TIME)
    checkpoint(tmp_path / "work", round=2)
    with pytest.raises(WorkspaceMismatchError, match="window 2026-03-02 is another"):
        ingested(log(75), windows=TIME)
    assert names(ingested(log(72), windows=TIME)) == ["2026-01-31", "2026-03-02"]


def test_before_round_0_all_may_change(ingested: Ingested) -> None:
    ingested(log(70), windows=TIME)
    assert len(ingested(log(75, first=3), windows=TIME).windows) == 2


def test_after_round_0_seed_and_tests_stay(tmp_path: Path, ingested: Ingested) -> None:
    ingested(log(70), windows=TIME)
    begin_rounds(tmp_path, 0)
    with pytest.raises(WorkspaceMismatchError, match="the seed is another"):
        ingested(log(70, first=3), windows=TIME)
    test = next(f"q65-{query}" for query in range(6) if query_bucket(f"q65-{query}", 5) == 1)
    with pytest.raises(WorkspaceMismatchError, match="the test test has other rows"):
        ingested([row for row in log(75) if row["query_id"] != test], windows=TIME)


def test_windows_by_size_are_cut_anew_behind_those_that_were_used(tmp_path: Path, ingested: Ingested) -> None:
    size = {"by": "size", "pairs": 100}
    one = ingested(log(60), windows=size)
    begin_rounds(tmp_path, len(one.windows) - 1)
    two = ingested(log(75), windows=size)
    assert one.windows[-1].pairs < two.windows[len(one.windows) - 1].pairs
    begin_rounds(tmp_path, len(two.windows))
    with pytest.raises(WorkspaceMismatchError, match="is another"):
        ingested(log(76), windows=size)


def test_gate_rows_of_a_used_window_stay_while_the_next_one_grows(tmp_path: Path, ingested: Ingested) -> None:
    ingested(log(70), windows=TIME)
    begin_rounds(tmp_path, 1)
    gate = next(f"q40-{query}" for query in range(6) if query_bucket(f"q40-{query}", 5) == 0)
    changed = [{**row, "grade": 3 - row["grade"]} if row["query_id"] == gate else row for row in log(75)]
    with pytest.raises(WorkspaceMismatchError, match="the gate has other rows or grades"):
        ingested(changed, windows=TIME)


def test_held_back_a_log_may_grow_every_night(tmp_path: Path, ingested: Ingested) -> None:
    one = ingested(log(70), windows=HOLD)
    assert names(one) == ["2026-01-31"]
    assert one.left_out == {HELD: 10 * 6 * 2}
    begin_rounds(tmp_path, 1)  # all that there is
    for days in (71, 75, 90):
        two = ingested(log(days), windows=HOLD)
        assert (two.windows[0].id, names(two)) == (one.windows[0].id, names(one))
        assert two.test("test").equals(one.test("test"))
    three = ingested(log(91), windows=HOLD)
    assert names(three) == ["2026-01-31", "2026-03-02"]
    assert len(three.test("test")) > len(one.test("test"))
    begin_rounds(tmp_path, 2)
    assert names(ingested(log(100), windows=HOLD)) == names(three)


def test_where_all_is_held_back_it_is_said(ingested: Ingested) -> None:
    with pytest.raises(DataError, match="nothing to mine") as raised:
        ingested(log(45), windows=HOLD)
    assert "wait until their window is over" in raised.value.remedy


def test_the_choice_changes_no_name_of_a_data_set_without_it(ingested: Ingested) -> None:
    ids = [ingested(log(70), windows=windows).id for windows in (TIME, {**TIME, "open": "use"})]
    assert ids[0] == ids[1]


def test_windows_are_counted_by_folders_and_by_the_latest_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "rounds" / "000").mkdir(parents=True)
    assert windows_used(tmp_path) == 0
    assert windows_used(tmp_path / "nowhere") is None
    sqlite3.connect(tmp_path / CHECKPOINTS).close()
    (tmp_path / CHECKPOINTS).touch()
    assert windows_used(tmp_path) == 0
    for state, used in (({}, 0), ({"round": 1}, 1), ({"round": 2, "sample": "s"}, 2)):
        checkpoint(tmp_path, **state)
        assert windows_used(tmp_path) == used


def test_damaged_checkpoints_are_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINTS).write_text("nothing of the kind, " * 100)
    with pytest.raises(StorageError, match="no SQLite database"):
        windows_used(tmp_path)
