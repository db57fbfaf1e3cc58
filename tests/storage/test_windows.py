"""Windows by rules, by time and by size."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serm.core.errors import ConfigError
from serm.core.settings_data import WindowSettings
from serm.storage.windows import Cut, cut_windows, held_back


def cut(
    rows: list[tuple[str, str | None]],
    gate: Set[str] = frozenset(),
    of_pairs: list[int] | None = None,
    **given: Any,
) -> Cut:
    """Cut rows of (query, timestamp); the queries in `gate` are gate rows, the others the stream. Each is of
    another pair where `of_pairs` does not tell."""
    keys = pd.DataFrame(rows, columns=["query_id", "timestamp"])
    keys["timestamp"] = pd.to_datetime(keys["timestamp"], format="ISO8601").astype("datetime64[us]")
    keys["query_id"] = keys["query_id"].astype("category")
    for name in ("source", "language", "split"):
        keys[name] = pd.Categorical([""] * len(keys))
    keys["graded"] = True
    keys["pair"] = np.arange(len(keys)) if of_pairs is None else of_pairs
    opened = keys["query_id"].isin(gate).to_numpy(bool)
    return cut_windows(keys, WindowSettings(**given), ~opened, opened)


def test_by_time_a_window_is_a_period_counted_from_the_first_day() -> None:
    rows = [("a", "2024-01-01 10:00"), ("b", "2024-01-30"), ("c", "2024-01-31"), ("d", "2024-06-01")]
    made = cut(rows, by="time", period="30D")
    assert made.of_row.tolist() == [0, 0, 1, 2]
    assert made.names == ("2024-01-01", "2024-01-31", "2024-05-30")


def test_by_time_a_row_without_a_timestamp_is_in_no_window() -> None:
    assert cut([("a", "2024-01-01"), ("b", None)], by="time").of_row.tolist() == [0, -1]


def test_by_time_a_gate_row_opens_with_the_last_window_that_has_begun() -> None:
    rows = [("a", "2024-01-01"), ("b", "2024-06-01")]
    rows += [("g", "2023-12-01"), ("g", "2024-01-05"), ("g", "2024-03-01"), ("g", "2024-12-01")]
    assert cut(rows, {"g"}, by="time").of_row.tolist() == [0, 1, -1, 0, 0, 1]


def test_by_time_periods_may_be_hours() -> None:
    made = cut([("a", "2024-01-01 00:30"), ("b", "2024-01-01 13:00")], by="time", period="12h")
    assert made.names == ("2024-01-01T00:00:00", "2024-01-01T12:00:00")


def test_by_time_the_newest_period_may_wait_until_a_stream_row_is_behind_its_end() -> None:
    days = ["2024-01-01", "2024-01-30", "2024-01-31", None, "2024-06-01"]
    keys = pd.DataFrame({"timestamp": pd.Series(pd.to_datetime(days)).astype("datetime64[us]")})
    stream = np.array([True, True, True, True, False])
    hold = WindowSettings(by="time", open="hold")
    assert held_back(keys, hold, stream).tolist() == [False, False, True, False, True]
    early = stream & np.array([True, True, False, True, False])
    assert held_back(keys, hold, early).tolist() == [True, True, True, False, True]
    assert not held_back(keys, WindowSettings(by="time"), stream).any()
    assert not held_back(keys, hold, ~stream & False).any()


def test_a_row_with_a_date_that_has_not_come_ends_no_period() -> None:
    days = ["2024-01-01", "2024-01-31", "2024-02-03", "2024-12-24"]
    keys = pd.DataFrame({"timestamp": pd.Series(pd.to_datetime(days)).astype("datetime64[us]")})
    stream, hold = np.ones(4, dtype=bool), WindowSettings(by="time", open="hold")
    then, later, before = (np.datetime64(day) for day in ("2024-02-03", "2024-12-23T12:00", "2023-06-01"))
    assert held_back(keys, hold, stream, then).tolist() == [False, True, True, True]
    assert held_back(keys, hold, stream, later).tolist() == [False, False, False, True]
    assert held_back(keys, hold, stream, before).tolist() == [False, False, False, True]  # a simulated time


def test_only_periods_may_be_held_back() -> None:
    with pytest.raises(ValueError, match="windows are cut by size; set `by: time`"):
        WindowSettings(by="size", open="hold")


@pytest.mark.parametrize("period", ["a month", "0D", "-3D"])
def test_a_period_that_is_no_duration_is_an_error(period: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.windows\.period") as raised:
        cut([("a", "2024-01-01")], by="time", period=period)
    assert raised.value.remedy


def test_by_size_queries_stay_whole_and_come_in_the_order_of_their_first_moment() -> None:
    rows = [("late", "2024-02-01"), ("late", "2024-02-02"), ("early", "2024-01-01"), ("none", None)]
    rows += [("early", "2024-03-01"), ("middle", "2024-01-15")]
    made = cut(rows, by="size", pairs=3)
    assert made.names == ("w001", "w002")
    assert made.of_row.tolist() == [1, 1, 0, 1, 0, 0]


def test_by_size_a_gate_query_opens_with_the_stream_around_it() -> None:
    rows = [("a", None), ("g", None), ("b", None), ("h", None), ("c", None)]
    assert cut(rows, {"g", "h"}, by="size", pairs=1).of_row.tolist() == [0, 0, 1, 1, 2]


def test_auto_takes_time_where_more_than_one_period_results_and_size_else() -> None:
    days = ("2024-01-01", "2024-06-01")
    assert cut([(f"{day}-{number}", day) for day in days for number in range(20)]).names == (
        "2024-01-01",
        "2024-05-30",
    )
    same_day = [(f"q{number}", "2024-01-01") for number in range(8)]
    assert cut(same_day).of_row.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(cut([("a", "2024-01-01"), ("b", None)]).names) == 2


def test_auto_does_not_cut_a_thin_stream_into_periods_of_a_few_pairs() -> None:
    thin = [(f"q{month}", f"2024-{month:02}-01") for month in range(12, 0, -1)]
    assert cut(thin).of_row.tolist() == [3, 3, 3, 2, 2, 2, 1, 1, 1, 0, 0, 0]
    assert len(cut(thin, by="time").names) == 12


def test_a_few_stray_timestamps_do_not_make_auto_cut_by_time() -> None:
    rows = [(f"q{number}", "2024-01-01") for number in range(60)]
    for stray in ("9999-12-08", "0001-01-01"):
        made = cut([*rows, ("a", stray), ("b", stray)])
        assert np.bincount(made.of_row).tolist() == [16, 16, 16, 14]


def test_auto_on_a_large_set_without_time_makes_windows_of_the_stated_size() -> None:
    made = cut([(f"q{number}", None) for number in range(20)], pairs=3)
    assert np.bincount(made.of_row).tolist() == [3, 3, 3, 3, 3, 3, 2]


def test_windows_that_no_stream_row_is_in_are_left_out() -> None:
    rules = [{"name": "dead", "when": {"after": "2030-01-01"}}, {"name": "alive", "when": {}}]
    made = cut([("a", "2024-01-01"), ("g", "2031-01-01")], {"g"}, rules=rules)
    assert made.names == ("alive",)
    assert made.of_row.tolist() == [0, -1]


@settings(deadline=None, max_examples=40)
@given(
    queries=st.lists(st.integers(1, 12), min_size=1, max_size=40),
    pairs=st.integers(1, 25),
    by=st.sampled_from(["size", "auto"]),
)
def test_by_size_no_query_is_cut_and_windows_are_full_but_not_over(
    queries: list[int], pairs: int, by: str
) -> None:
    rows = [(f"q{number}", None) for number, size in enumerate(queries) for _ in range(size)]
    made = cut(rows, by=by, pairs=pairs)
    frame = pd.DataFrame(rows, columns=["query", "time"]).assign(window=made.of_row)
    assert (frame.groupby("query")["window"].nunique() == 1).all()
    assert made.of_row.tolist() == sorted(made.of_row.tolist())
    assert set(made.of_row) == set(range(len(made.names)))
    if by == "size":
        windows = frame.groupby("window").agg(pairs=("query", "size"), queries=("query", "nunique"))
        assert ((windows["pairs"] <= pairs) | (windows["queries"] == 1)).all()
