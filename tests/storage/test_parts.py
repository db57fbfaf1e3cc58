"""A log in many files: a folder of parts, or a pattern that names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from serm.core import Settings
from serm.core.errors import DataError
from serm.core.settings_data import Source
from serm.storage.ingest import ingest
from serm.storage.readers import source_digest
from serm.storage.workspace import Workspace

Rows = Callable[..., Any]


@pytest.fixture
def logs(tmp_path: Path, good_row: Rows) -> Path:
    """Two parts, in two formats, and what is no part."""
    folder = tmp_path / "logs"
    folder.mkdir()
    pd.DataFrame([good_row(2, 1)]).to_parquet(folder / "2026-02.parquet")
    pd.DataFrame([good_row(1, 1), good_row(1, 2, grade=7)]).to_csv(folder / "2026-01.csv", index=False)
    for name in ("_SUCCESS", "_part.parquet", ".part.parquet", "notes.txt"):
        (folder / name).write_text("no table")
    return folder


def test_a_folder_of_parts_is_read_in_the_order_of_their_names(logs: Path, read: Rows) -> None:
    frame, rejects = read(logs)
    assert frame["query_id"].tolist() == ["q1", "q2"]
    assert frame["source"].unique().tolist() == ["logs"]
    assert [(Path(item.file).name, item.row, item.field) for item in rejects] == [("2026-01.csv", 2, "grade")]


@pytest.mark.parametrize(
    ("pattern", "queries"),
    [("logs/2026-*", ["q1", "q2"]), ("logs/2*.parquet", ["q2"]), ("**/2026-0?.csv", ["q1"])],
)
def test_a_pattern_names_the_files(logs: Path, read: Rows, pattern: str, queries: list[str]) -> None:
    for given in (pattern, str(logs.parent / pattern)):
        assert read(given)[0]["query_id"].tolist() == queries


def test_a_pattern_that_names_no_file_is_told(logs: Path, read: Rows) -> None:
    with pytest.raises(DataError, match=r"2027-\*\.csv.*no file is called so"):
        read(f"{logs}/2027-*.csv")


def test_brackets_stand_for_themselves(tmp_path: Path, read: Rows, good_row: Rows) -> None:
    for number in (1, 2):
        pd.DataFrame([good_row(number)]).to_parquet(tmp_path / f"p[{number}].parquet")
    assert read("p[1].parquet")[0]["query_id"].tolist() == ["q1"]
    assert read("p[*].parquet")[0]["query_id"].tolist() == ["q1", "q2"]


def test_a_part_without_a_usable_row_is_told_by_its_name(logs: Path, read: Rows, good_row: Rows) -> None:
    pd.DataFrame([good_row(3, query="")]).to_parquet(logs / "2026-03.parquet")
    with pytest.raises(DataError, match=r"2026-03\.parquet.*none of its rows can be used"):
        read(logs)
    pd.DataFrame([good_row(3)]).drop(columns="query").to_parquet(logs / "2026-03.parquet")
    with pytest.raises(DataError, match=r"2026-03\.parquet.*query"):
        read(logs)


def test_a_part_may_be_without_rows_where_another_has_some(logs: Path, read: Rows, good_row: Rows) -> None:
    for number in (1, 2):
        pd.DataFrame([good_row()]).iloc[:0].to_csv(logs / f"2026-00-{number}.csv", index=False)
    assert len(read(logs)[0]) == 2
    with pytest.raises(DataError, match=r"2026-00-\*\.csv.*it holds no rows"):
        read("logs/2026-00-*.csv")


def test_a_folder_that_had_a_meaning_keeps_it(logs: Path, read: Rows, good_row: Rows) -> None:
    (logs / "corpus.jsonl").write_text("{}\n")  # half of a BEIR folder
    with pytest.raises(DataError, match="this folder holds no pairs"):
        read(logs)
    pd.DataFrame([good_row(9)]).to_csv(logs / "pairs.csv", index=False)
    assert read(logs)[0]["query_id"].tolist() == ["q9"]


@pytest.mark.parametrize(
    ("pairs", "name"),
    [
        ("a/pairs.csv", "pairs"),
        ("a/logs", "logs"),
        ("a/logs/*.csv", "logs"),
        ("logs/clicks-*.csv", "clicks"),
        ("logs/*/part-?.csv", "part"),
        ("*.csv", "pairs"),
    ],
)
def test_a_source_is_called_after_its_files(pairs: str, name: str) -> None:
    assert Source(pairs=Path(pairs)).label == name


def test_the_digest_is_of_contents_in_their_order(logs: Path, settings_of: Rows) -> None:
    settings = settings_of(sources=[{"pairs": "logs/*.csv"}])
    source = settings.data.sources[0]
    one = source_digest(source, settings)
    (logs / "2026-01.csv").rename(logs / "2026-01-01.csv")
    assert source_digest(source, settings) == one
    (logs / "2026-02.csv").write_bytes((logs / "2026-01-01.csv").read_bytes())
    assert source_digest(source, settings) != one


@pytest.mark.parametrize("pairs", ["months/*.parquet", "months"])
def test_a_further_part_goes_on_in_the_same_workspace(
    tmp_path: Path, settings_of: Callable[..., Settings], many_rows: Rows, pairs: str
) -> None:
    (tmp_path / "months").mkdir()

    def month(number: int) -> None:
        rows = many_rows(40, 2, first=100 * number, timestamp=f"2026-{number:02d}-01")
        pd.DataFrame(rows).to_parquet(tmp_path / "months" / f"2026-{number:02d}.parquet")

    month(1)
    month(2)
    settings = settings_of(sources=[{"pairs": pairs}], windows={"by": "time", "period": "28D"})
    with Workspace.open(settings) as workspace:
        one = ingest(settings, workspace)
        for number in range(len(one.windows) + 1):
            (workspace.rounds / f"{number:03d}").mkdir()
    month(3)
    with Workspace.open(settings) as workspace:
        two = ingest(settings, workspace)
    assert [window.id for window in two.windows][: len(one.windows)] == [w.id for w in one.windows]
    assert len(two.windows) == len(one.windows) + 1


def test_a_link_to_a_part_and_a_part_without_a_byte_add_nothing(logs: Path, read: Rows) -> None:
    (logs / "2026-03.csv").touch()  # a day without a request
    (logs / "latest.parquet").symlink_to(logs / "2026-02.parquet")
    frame, _ = read(logs)
    assert frame["query_id"].tolist() == ["q1", "q2"]
    (logs / "_part.parquet").unlink()  # a pattern names it
    assert read(f"{logs}/*.parquet")[0]["query_id"].tolist() == ["q2"]
    for file in logs.iterdir():
        if file.suffix in {".csv", ".parquet"} and not file.name.startswith((".", "_")):
            file.unlink()
    for name in ("a.csv", "b.csv"):
        (logs / name).touch()
    with pytest.raises(DataError, match=r"a\.csv.*the file is empty"):
        read(logs)
