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
from serm.storage.dataset import DataSet
from serm.storage.ingest import DUPLICATE, ingest
from serm.storage.plan import CAME_BEFORE
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
    pd.DataFrame(world(many_rows, stream)).to_parquet(tmp_path / "pairs.parquet")
    values = {
        "workspace": "work",
        "data": {"sources": [{"pairs": "pairs.parquet"}], **WEEKS},
        "gate": {"judged_share": 0.3},
        "judges": ["simulated:a"],
    }
    asked = Settings.from_mapping(values, folder=tmp_path, environment={})
    with Workspace.open(asked) as workspace:
        dataset = ingest(asked, workspace)
    judged = dataset.judged_only(9)
    assert 0 < len(judged) < 80
    assert not judged.duplicated(["query_id", "doc_id"]).any()
    assert judged["window"].tolist() == [0] * len(judged)
    assert dataset.left_out == {CAME_BEFORE: len(judged)}
    assert [window.pairs for window in dataset.windows] == [80 - len(judged)] * 2


COUNT = st.none() | st.integers(0, 50)
LOG = st.lists(
    st.tuples(st.integers(0, 5), st.integers(-1, 2), st.booleans(), COUNT, COUNT, COUNT, st.integers(1, 9)),
    min_size=1,
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(log=LOG)
def test_nothing_is_lost_or_counted_twice(tmp_path_factory: Any, log: list[tuple[Any, ...]]) -> None:
    frame = pd.DataFrame(log, columns=["pair", "place", "graded", *FEEDBACK]).astype(
        dict.fromkeys(FEEDBACK, float)
    )
    frame["logged"] = frame[[*FEEDBACK[:3]]].notna().any(axis=1)
    place = frame["place"].to_numpy(np.int32)
    repeats = find_repeats(frame, place)
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
