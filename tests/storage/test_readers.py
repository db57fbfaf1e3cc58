"""Parquet, JSONL and CSV give the same rows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serm.core.errors import ConfigError, DataError
from serm.storage.csv_file import to_csv
from serm.storage.readers import read_source
from serm.storage.rejects import RejectLog

Rows = Callable[..., Any]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    frame = pd.DataFrame(rows)
    kinds: dict[str, Callable[[], object]] = {
        ".parquet": lambda: frame.to_parquet(path),
        ".jsonl": lambda: path.write_text("".join(json.dumps(item) + "\n" for item in rows)),
        ".csv": lambda: frame.to_csv(path, index=False),
        ".tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
    }
    kinds[path.suffix]()
    return path


FORMATS = pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".csv", ".tsv"])


@FORMATS
def test_every_format_gives_the_same_rows(tmp_path: Path, read: Rows, good_row: Rows, ending: str) -> None:
    rows = [
        good_row(1, 1, grade=3, title="Ein Titel, mit Komma", language="de", timestamp="2024-05-31"),
        good_row(1, 2, grade=None, title='"quoted"\nand broken', clicks=2, impressions=5),
        good_row(2, 1, text="", title="日本語", dwell_seconds=1.5, timestamp="2024-05-31T12:00:00+02:00"),
    ]
    frame, rejects = read(write(tmp_path / f"pairs{ending}", rows))
    assert not rejects
    assert frame["query_id"].tolist() == ["q1", "q1", "q2"]
    assert frame["title"].tolist() == ["Ein Titel, mit Komma", '"quoted"\nand broken', "日本語"]
    assert frame["text"].tolist() == ["text of 1", "text of 2", ""]
    assert frame["language"].tolist() == ["de", "", ""]
    assert frame["grade"].tolist() == [3, pd.NA, pd.NA]
    np.testing.assert_equal(frame["clicks"].to_numpy(), [np.nan, 2, np.nan])
    np.testing.assert_equal(frame["dwell_seconds"].to_numpy(), [np.nan, np.nan, 1.5])
    moments = frame["timestamp"].dt.strftime("%F %H:%M").tolist()
    assert moments[0] == "2024-05-31 00:00"
    assert moments[2] == "2024-05-31 10:00"  # in UTC
    assert frame["source"].unique().tolist() == ["pairs"]
    assert frame["row"].tolist() == [1, 2, 3]


@FORMATS
def test_a_rename_map_finds_columns_of_other_names(
    tmp_path: Path, read: Rows, good_row: Rows, ending: str
) -> None:
    rows = [{"q": "q1", "query": "a", "doc_id": "d", "body": "b", "text": "not this"}]
    frame, _ = read(write(tmp_path / f"p{ending}", rows), columns={"query_id": "q", "text": "body"})
    assert frame[["query_id", "text"]].to_numpy().tolist() == [["q1", "b"]]


@FORMATS
def test_small_chunks_give_the_same_rows_as_one(
    tmp_path: Path, read: Rows, many_rows: Rows, ending: str
) -> None:
    file = write(tmp_path / f"p{ending}", many_rows(5, 3))
    whole, _ = read(file)
    pieces, _ = read(file, chunk=2)
    pd.testing.assert_frame_equal(whole, pieces)


def test_a_renamed_column_that_is_not_there_is_an_error(tmp_path: Path, read: Rows, good_row: Rows) -> None:
    file = write(tmp_path / "p.csv", [good_row()])
    with pytest.raises(DataError, match=r"field title: the column `heading` is missing"):
        read(file, columns={"title": "heading"})


def test_a_rename_of_a_column_we_do_not_know_is_an_error(tmp_path: Path, read: Rows, good_row: Rows) -> None:
    with pytest.raises(ConfigError, match="`txt` is no column of serm"):
        read(write(tmp_path / "p.csv", [good_row()]), columns={"txt": "text"})


def test_whole_numbers_are_taken_as_ids(tmp_path: Path, read: Rows, good_row: Rows) -> None:
    for ending in (".parquet", ".jsonl"):
        frame, rejects = read(write(tmp_path / f"p{ending}", [good_row(query_id=17, doc_id=2**53 + 1)]))
        assert not rejects
        assert frame[["query_id", "doc_id"]].to_numpy().tolist() == [["17", str(2**53 + 1)]]


def test_the_sources_language_fills_rows_that_bear_none(tmp_path: Path, read: Rows, good_row: Rows) -> None:
    frame, _ = read(
        write(tmp_path / "p.csv", [good_row(1, language="de"), good_row(2, language="")]), language="en"
    )
    assert frame["language"].tolist() == ["de", "en"]


def test_dictionary_and_binary_columns_of_parquet_are_text(
    tmp_path: Path, read: Rows, good_row: Rows
) -> None:
    table = pa.Table.from_pylist([good_row(1, grade=1), good_row(2, grade=2)])
    table = table.set_column(0, "query_id", table["query_id"].dictionary_encode())
    table = table.set_column(3, "text", table["text"].cast(pa.binary()))
    pq.write_table(table, tmp_path / "p.parquet")
    frame, rejects = read(tmp_path / "p.parquet")
    assert not rejects
    assert frame["text"].tolist() == ["text of 1", "text of 1"]


@pytest.mark.parametrize(("mark", "named"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_csv_file_with_another_separator_is_told_of(
    tmp_path: Path, read: Rows, good_row: Rows, mark: str, named: str
) -> None:
    pd.DataFrame([good_row(1, 1)]).to_csv(tmp_path / "pairs.csv", index=False, sep=mark)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "pairs.csv")
    assert f"parted by {named}" in caught.value.remedy


def test_a_csv_file_with_a_byte_order_mark_is_read(tmp_path: Path, read: Rows, good_row: Rows) -> None:
    file = tmp_path / "p.csv"
    pd.DataFrame([good_row()]).to_csv(file, index=False, encoding="utf-8-sig")
    assert len(read(file)[0]) == 1


def test_a_csv_file_of_ours_comes_back_whatever_line_ends_its_texts_have(
    tmp_path: Path, read: Rows, good_row: Rows
) -> None:
    texts = ["old mac\rline ends", "windows\r\nline ends", "line\nends", "\r", 'a "quote"\r']
    to_csv(pd.DataFrame([good_row(1, n, title=text) for n, text in enumerate(texts)]), tmp_path / "pairs.csv")
    frame, rejects = read(tmp_path / "pairs.csv")
    assert not rejects
    assert frame["title"].tolist() == texts
    assert frame["doc_id"].nunique() == len(texts)


def test_a_column_that_first_shows_in_a_later_chunk_is_read(
    tmp_path: Path, read: Rows, good_row: Rows
) -> None:
    file = write(tmp_path / "p.jsonl", [good_row(1), good_row(2), good_row(3, grade=3)])
    assert read(file, chunk=1)[0]["grade"].tolist() == [pd.NA, pd.NA, 3]


def test_a_long_parquet_file_is_never_in_memory_as_a_whole(
    tmp_path: Path, settings_of: Rows, good_row: Rows
) -> None:
    texts = [os.urandom(1_000).hex() for _ in range(500)]
    rows = pa.Table.from_pylist([good_row(query, text=text) for query, text in enumerate(texts)])
    with pq.ParquetWriter(tmp_path / "p.parquet", rows.schema) as writer:
        for _ in range(20):  # 20 MB
            writer.write_table(rows)
    settings = settings_of(sources=[{"pairs": "p.parquet"}])
    with RejectLog(tmp_path / "rejects.jsonl") as log:
        start = pa.total_allocated_bytes()
        held = [
            pa.total_allocated_bytes() - start
            for _ in read_source(settings.data.sources[0], settings, log, chunk=500)
        ]
    assert len(held) == 20
    assert max(held) < 6_000_000  # bytes: a chunk is 1 MB, its pages and its copy among them


def test_an_ending_that_tells_no_format_is_an_error_until_the_format_is_named(
    tmp_path: Path, read: Rows, good_row: Rows
) -> None:
    file = write(tmp_path / "p.jsonl", [good_row()]).rename(tmp_path / "p.log")
    with pytest.raises(ConfigError, match=r"`\.log` tells no format"):
        read(file)
    assert len(read(file, format="jsonl")[0]) == 1


def test_a_folder_is_read_by_its_pairs_file(tmp_path: Path, read: Rows, good_row: Rows) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    with pytest.raises(DataError, match="holds no pairs"):
        read(folder)
    write(folder / "pairs.jsonl", [good_row()])
    assert read(folder)[0]["source"].tolist() == ["shop"]
