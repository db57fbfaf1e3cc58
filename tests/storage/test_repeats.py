"""A pair that a log tells of again: once a window, its requests added up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from serm.core.columns import FEEDBACK
from serm.core.settings import Settings
from serm.evals.listed import rows_by_window
from serm.storage.dataset import DataSet
from serm.storage.ingest import DUPLICATE, ingest
from serm.storage.plan import ELSEWHERE, NO_GRADE, SPENT
from serm.storage.rejects import read_rejects
from serm.storage.repeats import Added, Repeats, add_up, find_repeats
from serm.storage.workspace import Workspace

Rows = Callable[..., list[dict[str, Any]]]
Ingested = Callable[..., DataSet]

SETS = [{"set": name, "when": {"split": [name]}} for name in ("seed", "gate", "stream", "test")]
WEEKS: dict[str, Any] = {"sets": SETS, "windows": {"by": "time", "period": "7D"}}


def world(many_rows: Rows, stream: list[dict[str, Any]]) -> list[dict[str, Any]]:
    others = [
        item
        for place, split in enumerate(("seed", "gate", "test"), start=1)
        for item in many_rows(5, 3, first=100 * place, split=split, timestamp="2026-03-01")
    ]
    return others + stream


def logged(row: dict[str, Any], day: str, **counts: float | None) -> dict[str, Any]:
    log = {**row, "grade": None, "split": "stream", "timestamp": day, **dict.fromkeys(FEEDBACK)}
    return log | counts


def judging(folder: Path, rows: list[dict[str, Any]]) -> DataSet:
    """The data set where the panel alone grades some queries for the gate."""
    pd.DataFrame(rows).to_parquet(folder / "pairs.parquet")
    values = {
        "workspace": "work",
        "data": {"sources": [{"pairs": "pairs.parquet"}], **WEEKS},
        "gate": {"judged_share": 0.3},
        "judges": ["simulated:a"],
    }
    asked = Settings.from_mapping(values, folder=folder, environment={})
    with Workspace.open(asked) as workspace:
        return ingest(asked, workspace)


def test_requests_for_a_pair_are_added_up_within_a_window_and_stand_in_each(
    ingested: Ingested, many_rows: Rows
) -> None:
    [pair, other] = many_rows(1)
    stream = [
        logged(pair, "2026-03-02", impressions=10, clicks=1, dwell_seconds=5, position=1),
        logged(other, "2026-03-02", impressions=10, clicks=0, position=2),
        logged(pair, "2026-03-04", impressions=30, clicks=2, dwell_seconds=40, position=3),
        logged(pair, "2026-03-05", clicks=1),  # nobody says how often it was shown, or where
        logged(pair, "2026-03-10", impressions=7, clicks=3, position=1),
    ]
    dataset = ingested(world(many_rows, stream), **WEEKS)
    first, second = (dataset.window(index).set_index("doc_id") for index in (0, 1))
    assert first.loc[pair["doc_id"], [*FEEDBACK]].tolist() == [40, 4, 40, (10 * 1 + 30 * 3) / 40]
    assert first.loc[pair["doc_id"], "timestamp"] == pd.Timestamp("2026-03-02")
    assert first.loc[other["doc_id"], [*FEEDBACK]].isna().tolist() == [False, False, True, False]
    assert second.loc[pair["doc_id"], ["impressions", "clicks"]].tolist() == [7, 3]
    assert [window.pairs for window in dataset.windows] == [2, 1]
    assert (dataset.logged_again, dataset.rejected, dataset.left_out) == (2, 0, {})


def test_the_row_with_a_grade_stays_whichever_comes_first_and_a_second_grade_is_rejected(
    ingested: Ingested, many_rows: Rows
) -> None:
    [pair, other] = many_rows(1)
    stream = [
        logged(pair, "2026-03-02", impressions=10, clicks=1),
        {**logged(pair, "2026-03-03", impressions=5, clicks=1), "grade": 2},
        {**logged(pair, "2026-03-04", impressions=5, clicks=1), "grade": 3},
        logged(other, "2026-03-04", impressions=1),
    ]
    dataset = ingested(world(many_rows, stream), **WEEKS)
    assert dataset.sealed(0)[["doc_id", "grade"]].to_numpy().tolist() == [[pair["doc_id"], 2]]
    kept = dataset.window(0).set_index("doc_id").loc[pair["doc_id"]]
    assert kept[["impressions", "clicks"]].tolist() == [15, 2]
    [reject] = read_rejects(dataset.rejects)
    assert (reject.row, reject.field, reject.reason) == (48, "doc_id", DUPLICATE)


def test_a_grade_that_was_joined_to_every_row_of_a_log_loses_no_counts(
    ingested: Ingested, many_rows: Rows
) -> None:
    [pair, _] = many_rows(1)
    stream = [{**logged(pair, f"2026-03-0{day}", impressions=1, clicks=1), "grade": 2} for day in (2, 3, 4)]
    dataset = ingested(world(many_rows, stream), **WEEKS)
    assert dataset.window(0)[["impressions", "clicks"]].to_numpy().tolist() == [[3, 3]]
    assert (dataset.logged_again, dataset.rejected, len(dataset.sealed(0))) == (2, 0, 1)


def test_the_same_row_exported_twice_is_counted_once_where_its_time_of_day_is_told(
    ingested: Ingested, many_rows: Rows
) -> None:
    [pair, other] = many_rows(1)
    timed = [logged(pair, f"2026-03-02 10:0{minute}", impressions=1, clicks=0) for minute in (0, 1)]
    of_a_day = [logged(other, "2026-03-02", impressions=1, clicks=0)] * 2
    dataset = ingested(world(many_rows, [*timed, *of_a_day, *timed]), **WEEKS)
    assert dataset.window(0)["impressions"].tolist() == [2, 2]
    assert dataset.reject_reasons == {DUPLICATE: 2}


def test_a_pair_of_the_gate_or_the_seed_has_the_requests_of_its_rows_without_a_grade(
    ingested: Ingested, many_rows: Rows
) -> None:
    rows = world(many_rows, [{**row, "split": "stream"} for row in many_rows(4, timestamp="2026-03-02")])
    first = {split: next(row for row in rows if row["split"] == split) for split in ("seed", "gate", "test")}
    log = [
        {**logged(first[split], day, impressions=10, clicks=1), "split": split}
        for split in first
        for day in ("2026-03-01", "2026-03-02 09:00", "2026-03-12")
    ]
    never = {
        **logged(first["gate"], "2026-03-02", impressions=5),
        "doc_id": "nobody graded it",
        "split": "gate",
    }
    dataset = ingested([*log, *rows, never], **WEEKS)
    counts = {
        split: frame.set_index(["query_id", "doc_id"]).loc[
            (first[split]["query_id"], first[split]["doc_id"]), ["impressions", "clicks"]
        ]
        for split, frame in (
            ("seed", dataset.seed()),
            ("gate", dataset.gate(9)),
            ("test", dataset.test("test")),
        )
    }
    assert counts["seed"].tolist() == counts["test"].tolist() == [30, 3]
    assert counts["gate"].tolist() == [10, 1]  # of its own window, before the stream begins
    assert dataset.left_out == {NO_GRADE: 3}
    assert dataset.logged_again == 7


def test_what_the_first_window_logs_of_its_graded_pairs_counts_for_the_seed_made_of_it(
    ingested: Ingested, many_rows: Rows
) -> None:
    days = ("2026-03-02", "2026-03-02 08:00", "2026-03-10")
    log = [logged(row, day, impressions=4) for day in days for row in many_rows(40) if row["doc_id"] != "d1"]
    graded = [{**row, "split": None, "timestamp": "2026-03-02"} for row in many_rows(40)]
    rows = [{**row, "split": None} for row in log] + graded
    rows += [{**row, "split": None, "timestamp": "2026-03-10"} for row in many_rows(20, first=40)]
    dataset = ingested(rows, windows={"by": "time", "period": "7D"})
    assert set(dataset.seed()["impressions"].dropna()) == {8}
    assert dataset.left_out[SPENT] > 0


def test_a_log_that_goes_on_may_count_more_of_a_window_that_was_mined(
    tmp_path: Path, ingested: Ingested, many_rows: Rows
) -> None:
    [pair, other] = many_rows(1)
    sizes: dict[str, Any] = {"sets": SETS, "windows": {"by": "size", "pairs": 2}}
    stream = [logged(row, "2026-03-02", impressions=1) for row in (pair, other)]
    before = ingested(world(many_rows, stream), **sizes)
    more = [logged(pair, "2026-03-09", impressions=5)]
    more += [logged(row, "2026-03-09", impressions=1) for row in many_rows(3, first=50)]
    after = ingested(world(many_rows, [*stream, *more]), **sizes)
    assert after.window(0)["impressions"].tolist() == [6, 1]
    assert [window.pairs_id for window in after.windows[:1]] == [before.windows[0].pairs_id]
    assert after.windows[0].id != before.windows[0].id


def test_a_judged_pairs_grade_is_found_in_whichever_row_and_window_it_stands(
    tmp_path: Path, many_rows: Rows
) -> None:
    stream = [logged(row, "2026-03-02", impressions=10) for row in many_rows(40, timestamp=None)]
    stream += [
        {**logged(row, "2026-03-03", impressions=30, clicks=5), "grade": 2}
        for row in many_rows(20, timestamp=None)
    ]
    stream += [{**logged(row, "2026-03-10", impressions=1), "grade": 1} for row in many_rows(20, first=20)]
    dataset = judging(tmp_path, world(many_rows, stream))
    judged = dataset.judged_only(9).set_index("query_id")
    assert not judged.reset_index().duplicated(["query_id", "doc_id"]).any()
    early = [name for name in judged.index.unique() if int(name[1:]) < 20]
    assert early
    assert set(judged.loc[early, "impressions"]) == {40}
    assert set(judged.loc[early, "window"]) == {0}
    assert set(judged.drop(early)["window"]) == {1}
    assert len(dataset.judged_sealed()) == len(judged)


def test_a_row_that_adds_nothing_is_rejected_and_no_window_is_cut_by_repeats(
    ingested: Ingested, many_rows: Rows
) -> None:
    stream = [{**row, "split": "stream", "grade": None} for row in many_rows(6, 2, timestamp=None)]
    dataset = ingested(world(many_rows, [*stream, *stream]), sets=SETS, windows={"by": "size", "pairs": 6})
    assert [window.pairs for window in dataset.windows] == [6, 6]
    assert dataset.reject_reasons == {DUPLICATE: 12}


def test_pairs_that_the_panel_alone_grades_stand_once_for_all_windows(
    tmp_path: Path, many_rows: Rows
) -> None:
    stream = [
        logged(row, day, impressions=1)
        for day in ("2026-03-02", "2026-03-10")
        for row in many_rows(40, timestamp=None)
    ]
    dataset = judging(tmp_path, world(many_rows, stream))
    judged = dataset.judged_only(9)
    assert 0 < len(judged) < 80
    assert not judged.duplicated(["query_id", "doc_id"]).any()
    assert judged["window"].tolist() == [0] * len(judged)
    assert dataset.left_out == {ELSEWHERE: len(judged)}
    assert [window.pairs for window in dataset.windows] == [80 - len(judged)] * 2


def test_what_a_window_listed_for_the_gates_queries_stands_beside_the_gate_graded_or_not(
    ingested: Ingested, many_rows: Rows
) -> None:
    """A gate query of three documents, one of them without a grade, is asked in two weeks; a second one has
    no grade at all, and the second week shows a document that is new."""
    graded, twin, plain = many_rows(1, 3, first=500, split="gate")
    ungraded = [{**plain, "grade": None}, {**many_rows(1, 1, first=501, split="gate")[0], "grade": None}]
    new = {**many_rows(1, 4, first=500, split="gate")[3]}
    weeks = [
        {**row, "timestamp": day, "impressions": 3.0}
        for day in ("2026-03-02", "2026-03-03", "2026-03-10")
        for row in (graded, twin, *ungraded)
    ]
    stream = [logged(row, day, impressions=1) for day in ("2026-03-02", "2026-03-10") for row in many_rows(4)]
    dataset = ingested(world(many_rows, [*weeks, {**new, "timestamp": "2026-03-10"}, *stream]), **WEEKS)
    gate = dataset.gate(9)
    own = gate[gate["query_id"] == graded["query_id"]]
    assert own.set_index("doc_id")["window"].to_dict() == {"d0": 0, "d1": 0, "d3": 1}
    lists = dataset.gate_lists(9).query("query_id == @graded['query_id']")
    found = {window: sorted(rows["doc_id"]) for window, rows in lists.groupby("window")}
    assert found == {0: ["d0", "d1", "d2"], 1: ["d0", "d1", "d2", "d3"]}
    assert "grade" not in lists
    assert set(lists.query("doc_id == 'd0'")["impressions"]) == {6.0, 3.0}, "two requests, then one"
    assert set(dataset.gate_lists(0)["window"]) <= {-1, 0}
    assert ungraded[1]["query_id"] not in set(dataset.gate_lists(9)["query_id"]), "no query of the gate"
    rows = rows_by_window(gate.reset_index(drop=True), dataset.gate_lists(9))
    assert [len(rows[window]) for window in (0, 1)] == [2, 3]


def test_the_panels_own_queries_have_a_list_in_each_window(tmp_path: Path, many_rows: Rows) -> None:
    stream = [
        logged(row, day, impressions=1)
        for day in ("2026-03-02", "2026-03-10")
        for row in many_rows(40, timestamp=None)
    ]
    dataset = judging(tmp_path, world(many_rows, stream))
    lists, judged = dataset.judged_lists(9), dataset.judged_only(9)
    assert len(lists) == 2 * len(judged)
    assert set(lists["window"]) == {0, 1}
    assert len(dataset.judged_lists(0)) == len(judged)


COUNT = st.none() | st.integers(0, 50)
LOG = st.lists(
    st.tuples(
        st.integers(0, 5), st.integers(-1, 2), st.integers(-1, 1), COUNT, COUNT, COUNT, st.integers(1, 9)
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(log=LOG)
def test_nothing_is_lost_or_counted_twice(tmp_path_factory: Any, log: list[tuple[Any, ...]]) -> None:
    frame = pd.DataFrame(log, columns=["pair", "place", "grade", *FEEDBACK]).astype(
        dict.fromkeys(FEEDBACK, float)
    )
    frame["logged"] = frame[[*FEEDBACK[:3]]].notna().any(axis=1)
    frame["said"], frame["timestamp"] = np.arange(len(frame)), pd.NaT
    frame["timestamp"] = frame["timestamp"].astype("datetime64[us]")
    place = frame["place"].to_numpy(np.int32)
    repeats = find_repeats(frame, place, place >= 0)
    gone = np.isin(np.arange(len(frame)), repeats.rows)
    taken = frame[(place >= 0) & ~gone]
    assert not taken.duplicated(["pair", "place"]).any()
    assert set(map(tuple, taken[["pair", "place"]].to_numpy())) == set(
        map(tuple, frame.loc[place >= 0, ["pair", "place"]].to_numpy())
    )
    assert not (place[repeats.rows] < 0).any()

    staged = tmp_path_factory.mktemp("staged") / "staged.parquet"
    pq.write_table(pa.Table.from_pandas(frame[[*FEEDBACK]]), staged, row_group_size=7)
    put = frame[[*FEEDBACK]].copy()
    added = add_up(staged, repeats)
    for start in range(0, len(put), 5):
        part = put.iloc[start : start + 5].reset_index(drop=True)
        added.put(part, start)
        put.iloc[start : start + 5] = part.to_numpy()
    counted = (place >= 0) & ~np.isin(np.arange(len(frame)), repeats.twice)
    for name in ("impressions", "clicks"):
        groups = [frame["pair"], frame["place"]]
        expected = frame[name].where(counted).groupby(groups).sum(min_count=1)
        found = put.loc[(place >= 0) & ~gone, name]
        keys = pd.MultiIndex.from_frame(taken[["pair", "place"]])
        np.testing.assert_allclose(found.to_numpy(), expected.reindex(keys).to_numpy())


def test_without_repeats_nothing_is_read(tmp_path: Path) -> None:
    none = np.zeros(0, dtype=np.int64)
    added = add_up(tmp_path / "there is no such file", Repeats(none, none, none))
    assert isinstance(added, Added)
    assert added.values.shape == (0, 4)
