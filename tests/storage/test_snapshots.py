"""Training sets: the stated mix, the same bytes for the same rows, never changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from serm.core import Settings
from serm.core.settings_loop import TrainingSettings
from serm.storage.snapshots import build_snapshot, read_snapshot, sample_queries
from serm.storage.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    values = {"workspace": "work", "data": {"sources": [{"pairs": "p.parquet"}]}}
    with Workspace.open(Settings.from_mapping(values, folder=tmp_path, environment={})) as opened:
        yield opened


def labels(queries: int, documents: int, first: int = 0, **values: object) -> pd.DataFrame:
    rows = [
        {
            "query_id": f"q{query}",
            "doc_id": f"d{doc}",
            "query": f"query {query}",
            "title": "",
            "text": f"text {doc}",
            "language": "en",
            "grade": (query + doc) % 4,
            **values,
        }
        for query in range(first, first + queries)
        for doc in range(documents)
    ]
    return pd.DataFrame(rows)


SHARES = {"p0": 0.25, "p1": 0.25, "p2": 0.5, "p3": 0.0}
NEW, EARLIER, SEED = (
    labels(10, 4, round=3, **SHARES),
    labels(30, 4, first=10, round=2, **SHARES),
    labels(50, 4, first=50),
)
HALF = TrainingSettings(earlier=0.5, seed=0.25)


def test_the_mix_keeps_the_stated_ratios_and_whole_queries(workspace: Workspace) -> None:
    snapshot = build_snapshot(workspace, NEW, EARLIER, SEED, HALF, 7)
    assert snapshot.counts == {"new": 40, "earlier": 20, "seed": 8}  # 10 do not divide into whole queries
    rows = read_snapshot(snapshot.path)
    assert rows["origin"].value_counts().to_dict() == {"new": 40, "earlier": 20, "seed": 8}
    assert (rows.groupby("query_id").size() == 4).all()


def test_a_seed_row_is_certain_of_its_grade_and_bears_round_zero(workspace: Workspace) -> None:
    rows = read_snapshot(build_snapshot(workspace, NEW, EARLIER, SEED, HALF, 7).path)
    seed = rows[rows["origin"] == "seed"]
    assert (seed["round"] == 0).all()
    for grade in range(4):
        assert (seed.loc[seed["grade"] == grade, f"p{grade}"] == 1).all()
    assert (rows.loc[rows["origin"] == "new", "p2"] == 0.5).all()


def test_the_same_rows_in_another_order_are_the_same_file(workspace: Workspace) -> None:
    one = build_snapshot(workspace, NEW, EARLIER, SEED, HALF, 7)
    content = one.path.read_bytes()
    one.path.unlink()
    shuffled = [frame.sample(frac=1, random_state=1) for frame in (NEW, EARLIER, SEED)]
    two = build_snapshot(workspace, *shuffled, HALF, 7)
    assert one == two
    assert two.path.read_bytes() == content


def test_another_grade_or_another_random_seed_is_another_snapshot(workspace: Workspace) -> None:
    one = build_snapshot(workspace, NEW, EARLIER, SEED, HALF, 7)
    other_grade = build_snapshot(workspace, NEW.assign(grade=0), EARLIER, SEED, HALF, 7)
    other_seed = build_snapshot(workspace, NEW, EARLIER, SEED, HALF, 8)
    assert len({one.id, other_grade.id, other_seed.id}) == 3


def test_a_snapshot_is_written_once_and_not_writable(workspace: Workspace) -> None:
    one = build_snapshot(workspace, NEW, EARLIER, SEED, HALF, 7)
    before = one.path.stat()
    build_snapshot(workspace, NEW, EARLIER, SEED, HALF, 7)
    assert one.path.stat().st_mtime_ns == before.st_mtime_ns
    assert not os.stat(one.path).st_mode & 0o222  # noqa: PTH116


def test_the_first_round_has_nothing_earlier(workspace: Workspace) -> None:
    snapshot = build_snapshot(workspace, NEW, EARLIER.iloc[:0], SEED, HALF, 7)
    assert snapshot.counts == {"new": 40, "earlier": 0, "seed": 8}


def test_ratios_of_zero_leave_only_what_is_new(workspace: Workspace) -> None:
    none = TrainingSettings(earlier=0, seed=0)
    assert build_snapshot(workspace, NEW, EARLIER, SEED, none, 7).counts == {
        "new": 40,
        "earlier": 0,
        "seed": 0,
    }


def test_a_query_that_is_larger_than_all_the_room_is_cut() -> None:
    frame = labels(1, 30)
    assert len(sample_queries(frame, 10, 7)) == 10
    assert sample_queries(frame, 10, 7).equals(sample_queries(frame, 10, 7))
    assert sample_queries(frame, 30, 7) is frame
