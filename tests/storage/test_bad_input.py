"""Bad rows are named and counted; bad files are refused with a sentence and a remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serm.core.errors import DataError
from serm.storage import checks
from serm.storage.dataset import DataSet
from serm.storage.ingest import DUPLICATE
from serm.storage.rejects import read_rejects

Rows = Callable[..., Any]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in rows))
    return path


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pd.DataFrame(rows).to_parquet(path)
    return path


# Rows


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        ({"grade": 7}, "grade", checks.OFF_SCALE),
        ({"grade": -1}, "grade", checks.OFF_SCALE),
        ({"grade": 2.5}, "grade", checks.OFF_SCALE),
        ({"grade": 10**400}, "grade", checks.OFF_SCALE),
        ({"grade": "good"}, "grade", checks.WRONG_TYPE),
        ({"grade": True}, "grade", checks.WRONG_TYPE),
        ({"grade": [3]}, "grade", checks.WRONG_TYPE),
        ({"text": ""}, "text", checks.NO_TEXT),
        ({"text": "  \n", "title": "\t"}, "text", checks.NO_TEXT),
        ({"text": None}, "text", checks.NO_TEXT),
        ({"text": 5}, "text", checks.WRONG_TYPE),
        ({"query": " "}, "query", checks.BLANK),
        ({"query": None}, "query", checks.BLANK),
        ({"query": {"a": 1}}, "query", checks.WRONG_TYPE),
        ({"query_id": ""}, "query_id", checks.BLANK),
        ({"doc_id": None}, "doc_id", checks.BLANK),
        ({"query_id": "q\0"}, "query_id", checks.HOLDS_NUL),
        ({"doc_id": 1.5}, "doc_id", checks.WRONG_TYPE),
        ({"timestamp": "yesterday"}, "timestamp", checks.BAD_MOMENT),
        ({"timestamp": "now"}, "timestamp", checks.BAD_MOMENT),
        ({"timestamp": "2024-02-30"}, "timestamp", checks.BAD_MOMENT),
        ({"timestamp": 1717171717}, "timestamp", checks.BAD_MOMENT),
        ({"clicks": -1}, "clicks", checks.BAD_NUMBER),
        ({"dwell_seconds": "long"}, "dwell_seconds", checks.WRONG_TYPE),
        ({"text": "a lone \ud800 surrogate"}, "text", checks.NOT_UTF8),
    ],
)
def test_a_bad_row_goes_to_the_rejects_file_with_its_row_field_and_reason(  # noqa: PLR0917
    tmp_path: Path, read: Rows, good_row: Rows, values: dict[str, Any], field: str, reason: str
) -> None:
    file = jsonl(tmp_path / "pairs.jsonl", [good_row(1), good_row(2, **values), good_row(3)])
    frame, rejects = read(file)
    assert frame["query_id"].tolist() == ["q1", "q3"]
    assert [(item.file, item.row, item.field, item.reason) for item in rejects] == [
        (str(file), 2, field, reason)
    ]


def test_a_row_with_two_faults_is_rejected_once(tmp_path: Path, read: Rows, good_row: Rows) -> None:
    _, rejects = read(jsonl(tmp_path / "p.jsonl", [good_row(1), good_row(2, query="", grade=9, text="")]))
    assert [(item.row, item.field) for item in rejects] == [(2, "query")]


def test_words_for_nothing_are_no_numbers_and_no_faults(tmp_path: Path, read: Rows) -> None:
    file = tmp_path / "p.csv"
    file.write_text("query_id,doc_id,query,text,grade,timestamp\nq,d,a,b,NaN,\nq,e,NA,null,,NaT\n")
    frame, rejects = read(file)
    # A query may well be "NA"; a date may not be "NaT".
    assert frame[["query", "text"]].to_numpy().tolist() == [["a", "b"]]
    assert [(item.row, item.field) for item in rejects] == [(2, "timestamp")]


def test_a_jsonl_line_that_is_none_is_rejected_and_the_others_are_read(
    tmp_path: Path, read: Rows, good_row: Rows
) -> None:
    good = json.dumps(good_row(1)).encode()
    lines = [good, b"{broken", b'"a text"', b"", b'{"query": "caf\xe9"}', b"[" * 100_000]
    (tmp_path / "p.jsonl").write_bytes(b"\n".join(lines))
    frame, rejects = read(tmp_path / "p.jsonl")
    assert len(frame) == 1
    assert [(item.row, item.reason) for item in rejects] == [
        (2, "no JSON"),
        (3, "no JSON object"),
        (5, checks.NOT_UTF8),
        (6, "no JSON"),
    ]


def test_a_csv_row_that_is_not_utf8_is_rejected_and_the_others_are_read(tmp_path: Path, read: Rows) -> None:
    (tmp_path / "p.csv").write_bytes(b"query_id,doc_id,query,text\nq1,d1,caf\xe9,b\nq2,d2,caf\xc3\xa9,b\n")
    frame, rejects = read(tmp_path / "p.csv")
    assert frame["query"].tolist() == ["café"]
    assert [(item.row, item.field, item.reason) for item in rejects] == [(1, "query", checks.NOT_UTF8)]


def test_a_csv_row_with_too_few_fields_is_rejected(tmp_path: Path, read: Rows) -> None:
    (tmp_path / "p.csv").write_text("query_id,doc_id,query,text\nq1,d1,a\n\nq2,d2,a,b\nq3,d3,a,b,c\n")
    frame, rejects = read(tmp_path / "p.csv")
    assert frame["query_id"].tolist() == ["q2"]
    assert [(item.row, item.reason) for item in rejects] == [
        (1, "another number of fields than the header"),
        (3, "another number of fields than the header"),
    ]


def test_a_parquet_text_that_is_not_utf8_is_rejected(tmp_path: Path, read: Rows, good_row: Rows) -> None:
    table = pa.Table.from_pylist([good_row(1), good_row(2)])
    texts = pa.array([b"fine", b"caf\xe9"], pa.binary())
    pq.write_table(table.set_column(3, "text", texts), tmp_path / "binary.parquet")
    lying = pa.StringArray.from_buffers(2, texts.buffers()[1], texts.buffers()[2])
    pq.write_table(table.set_column(3, "text", lying), tmp_path / "string.parquet")
    for name in ("binary.parquet", "string.parquet"):
        frame, rejects = read(tmp_path / name)
        assert frame["text"].tolist() == ["fine"], name
        assert [(item.row, item.field, item.reason) for item in rejects] == [(2, "text", checks.NOT_UTF8)]


def test_a_pair_that_comes_twice_is_taken_once_and_the_second_is_rejected(
    ingested: Callable[..., DataSet], many_rows: Rows, good_row: Rows
) -> None:
    rows = many_rows(40)
    dataset = ingested([*rows, {**rows[0], "text": "another text", "grade": 3}])
    assert dataset.reject_reasons == {DUPLICATE: 1}
    (reject,) = read_rejects(dataset.rejects)
    assert (reject.row, reject.field) == (81, "doc_id")
    assert dataset.rejected == 1


def test_a_pair_that_comes_again_in_another_source_is_rejected_there(
    tmp_path: Path, ingested: Callable[..., DataSet], many_rows: Rows
) -> None:
    rows = many_rows(40)
    jsonl(tmp_path / "more.jsonl", [rows[3], *many_rows(1, first=40)])
    dataset = ingested(rows, sources=[{"pairs": "pairs.parquet"}, {"pairs": "more.jsonl"}])
    (reject,) = read_rejects(dataset.rejects)
    assert (Path(reject.file).name, reject.row) == ("more.jsonl", 1)


# Files


def refused(read: Rows, file: Path, **source: Any) -> DataError:
    with pytest.raises(DataError) as raised:
        read(file, **source)
    assert raised.value.remedy
    assert raised.value.exit_code == 3
    assert str(file) in str(raised.value)
    return raised.value


@pytest.mark.parametrize("missing", ["query_id", "query", "doc_id", "text"])
@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".csv"])
def test_a_missing_column_is_named(
    tmp_path: Path, read: Rows, good_row: Rows, ending: str, missing: str
) -> None:
    row = good_row()
    del row[missing]
    file = tmp_path / f"p{ending}"
    frame = pd.DataFrame([row])
    {
        ".parquet": frame.to_parquet,
        ".jsonl": lambda path: frame.to_json(path, orient="records", lines=True),
        ".csv": lambda path: frame.to_csv(path, index=False),
    }[ending](file)
    error = refused(read, file)
    assert error.field == missing
    assert f"the column `{missing}` is missing" in error.message


def test_a_column_of_the_wrong_type_is_named(tmp_path: Path, read: Rows, good_row: Rows) -> None:
    for name, value in {"text": 5, "query": ["a"], "grade": True, "timestamp": 17, "doc_id": 0.5}.items():
        error = refused(read, parquet(tmp_path / f"{name}.parquet", [good_row(**{name: value})]))
        assert error.field == name
        assert "wrong type" in error.message


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".csv", ".tsv"])
def test_an_empty_file_is_refused(tmp_path: Path, read: Rows, ending: str) -> None:
    (tmp_path / f"p{ending}").touch()
    assert "the file is empty" in refused(read, tmp_path / f"p{ending}").message


def test_a_file_without_rows_is_refused(tmp_path: Path, read: Rows, good_row: Rows) -> None:
    (tmp_path / "p.csv").write_text("query_id,doc_id,query,text\n")
    (tmp_path / "p.jsonl").write_text("\n\n")
    pd.DataFrame([good_row()]).iloc[:0].to_parquet(tmp_path / "p.parquet")
    for name in ("p.csv", "p.jsonl", "p.parquet"):
        assert "it holds no rows" in refused(read, tmp_path / name).message


def test_a_parquet_file_that_was_cut_off_is_refused(tmp_path: Path, read: Rows, many_rows: Rows) -> None:
    file = parquet(tmp_path / "p.parquet", many_rows(50))
    whole = file.read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 4):
        file.write_bytes(whole[:length])
        assert "no whole Parquet file" in refused(read, file).message


def test_a_parquet_file_that_is_damaged_inside_is_refused(
    tmp_path: Path, read: Rows, many_rows: Rows
) -> None:
    file = parquet(tmp_path / "p.parquet", many_rows(50))
    whole = bytearray(file.read_bytes())
    whole[4:200] = b"\xff" * 196
    file.write_bytes(whole)
    assert "no whole Parquet file" in refused(read, file).message


def test_a_text_file_in_another_encoding_is_refused(tmp_path: Path, read: Rows) -> None:
    file = tmp_path / "p.csv"
    file.write_bytes("query_id,doc_id,query,text\nq,d,a,b\n".encode("utf-16"))
    assert "not UTF-8" in refused(read, file).message


def test_a_file_of_which_no_row_can_be_used_is_refused_with_an_example(
    tmp_path: Path, read: Rows, good_row: Rows
) -> None:
    error = refused(read, jsonl(tmp_path / "p.jsonl", [good_row(1, grade=9), good_row(2, grade=8)]))
    assert "2 rejected" in error.message
    assert (error.row, error.field) == (2, "grade")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path, read: Rows) -> None:
    assert "no such file" in refused(read, tmp_path / "p.parquet").message


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_column_that_stands_twice_is_refused(read: Any, tmp_path: Path, ending: str) -> None:
    """As after a join: of two columns `grade` nobody knows which is meant."""
    file, names = tmp_path / f"pairs.{ending}", ["query_id", "query", "doc_id", "text", "grade", "grade"]
    if ending == "csv":
        file.write_text(",".join(names) + "\n1,a,b,c,,3\n")
    else:
        pq.write_table(pa.Table.from_arrays([pa.array(["1"])] * 6, names=names), file)
    with pytest.raises(DataError, match="the column `grade` stands twice"):
        read(file)
