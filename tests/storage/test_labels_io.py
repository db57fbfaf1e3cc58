"""Labels go out and come back in every format, and what a format cannot hold is said."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from serm.core import Label, Outcome
from serm.core.errors import ConfigError, DataError
from serm.storage.labels import labels_of, read_labels, write_labels
from serm.storage.labels_io import read_labels_any, write_labels_as

LABELS = [
    Label(
        "q1", "d1", 2, (0.0, 0.0, 1.0, 0.0), Outcome.UNANIMOUS, (("a", 2), ("b", 2)), "says so", 2, 30, 0.5
    ),
    Label("q1", "d2", None, (0.5, 0.5, 0.0, 0.0), Outcome.DROPPED, (("a", 0), ("b", 1)), "", 2, 30, 0.5),
    Label("q 2", "d1", None, None, Outcome.FAILED, (("a", None),), "", 1, 0, 0.0),
    Label(
        "3", "d1", 3, (0.0, 0.0, 0.0, 1.0), Outcome.HUMAN, (), 'two\nlines, "quoted" \u2028 日本', 0, 0, 0.0
    ),
]


@pytest.fixture
def labels(tmp_path: Path) -> pd.DataFrame:
    write_labels(LABELS, tmp_path / "own.parquet")
    return read_labels(tmp_path / "own.parquet")


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".csv"])
def test_what_is_written_is_read_again(tmp_path: Path, labels: pd.DataFrame, ending: str) -> None:
    path = tmp_path / f"labels{ending}"
    written = write_labels_as(labels, path)
    assert (written.rows, written.dropped_rows, written.dropped_columns) == (4, 0, ())
    pd.testing.assert_frame_equal(read_labels_any(path), labels, check_dtype=False)


def test_the_records_of_a_labels_file_are_those_that_were_written(
    tmp_path: Path, labels: pd.DataFrame
) -> None:
    write_labels_as(labels, tmp_path / "labels.parquet")
    assert labels_of(tmp_path / "labels.parquet") == LABELS


@pytest.mark.parametrize("ending", [".qrels", ".txt"])
def test_qrels_hold_grades_alone_and_say_so(tmp_path: Path, labels: pd.DataFrame, ending: str) -> None:
    path = tmp_path / f"labels{ending}"
    written = write_labels_as(labels, path)
    assert path.read_text() == "q1 0 d1 2\n3 0 d1 3\n"
    assert (written.rows, written.dropped_rows) == (2, 2)
    assert "votes" in written.dropped_columns
    again = read_labels_any(path)
    assert list(zip(again["query_id"], again["doc_id"], again["grade"], strict=True)) == [
        ("q1", "d1", 2),
        ("3", "d1", 3),
    ]
    assert list(again["outcome"]) == ["", ""]


def test_an_id_with_a_blank_does_not_go_into_qrels(tmp_path: Path, labels: pd.DataFrame) -> None:
    bad = labels.assign(query_id="a b")
    with pytest.raises(DataError, match=r"field query_id: the id `a b` has a blank"):
        write_labels_as(bad, tmp_path / "labels.qrels")
    assert not (tmp_path / "labels.qrels").exists()


def test_an_unknown_ending_is_refused_before_anything_is_written(
    tmp_path: Path, labels: pd.DataFrame
) -> None:
    with pytest.raises(ConfigError, match=r"not written as `\.xlsx`"):
        write_labels_as(labels, tmp_path / "labels.xlsx")
    with pytest.raises(ConfigError, match=r"the ending `\.xlsx`"):
        read_labels_any(tmp_path / "labels.xlsx")


def test_labels_of_somebody_else_need_a_pair_and_a_grade_alone(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("query_id,doc_id,grade,comment\nq,d,2,fine\nq,e,,\n")
    found = read_labels_any(path)
    assert list(found["grade"].isna()) == [False, True]
    assert list(found["votes"]) == [[], []]
    assert found["p0"].isna().all()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "query_id,grade\nq,1\n", "field doc_id: the column is missing"),
        ("a.csv", "query_id,doc_id,grade\nq,d,1\nq,e,7\n", "row 2, field grade: `7` does not fit"),
        ("a.csv", "query_id,doc_id,grade\nq,,1\n", "row 1, field doc_id"),
        ("a.csv", "query_id,doc_id,grade,outcome\nq,d,1,guessed\n", "field outcome: `guessed`"),
        ("a.csv", "query_id,doc_id,grade,votes\nq,d,1,ann\n", "field votes: `ann`"),
        ("a.csv", "query_id,doc_id,grade\n", "holds no labels"),
        ("a.jsonl", '{"query_id": "q"\n', "row 1: it is no JSON"),
        ("a.jsonl", "[1]\n", "row 1: it is no JSON object"),
        ("a.jsonl", '\n{"query_id": "q", "doc_id": "d", "grade": 7}\n', "row 2, field grade"),
        ("a.jsonl", '{"query_id": "q", "doc_id": "d", "grade": true}\n', "row 1, field grade: `True`"),
        ("a.csv", "query_id,doc_id,grade\nq,d,1\nq,e\n", "row 2: another number of fields"),
        ("a.csv", 'query_id,doc_id,grade\n"q,d,1\nq,e,1\nq",f,2\n', "row 1: no CSV: a quote is left open"),
        ("a.qrels", "q 0 d\n", "row 1: it has 3 fields"),
        ("a.parquet", "nothing", "no whole Parquet file"),
    ],
)
def test_what_is_no_label_is_named(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as error:
        read_labels_any(tmp_path / name)
    assert says in str(error.value)
    assert str(tmp_path / name) in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_labels_any(tmp_path / "none.csv")


NUMBER = '{"query_id": "q", "doc_id": "d", "grade": 1, "calls": %s}\n'


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "query_id,doc_id,grade\nq,d,1\nqué,d,2\n", "row 2, field query_id: it is not UTF-8"),
        ("a.jsonl", '{"query_id": "é", "doc_id": "d", "grade": 1}\n', "row 1: it is not UTF-8"),
        ("a.qrels", "q 0 d 1\n\nqué 0 d 2\n", "row 3: it is not UTF-8"),
        ("a.jsonl", '{"query_id": "\\ud83d", "doc_id": "d", "grade": 1}\n', "row 1, field query_id"),
        ("a.jsonl", "[" * 99_999 + "\n", "row 1: it is no JSON"),
        ("a.jsonl", NUMBER % ("1" * 400), "row 1, field calls"),
        ("a.jsonl", NUMBER % "1e400", "row 1, field calls"),
        ("a.jsonl", NUMBER % "1e10", "row 1, field calls"),
    ],
)
def test_a_file_in_another_encoding_or_with_no_numbers_is_refused_where_it_is_so(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    (tmp_path / name).write_text(text, encoding="latin-1")
    with pytest.raises(DataError) as error:
        read_labels_any(tmp_path / name)
    assert says in str(error.value)


def test_a_long_reason_and_a_byte_order_mark_are_no_fault(tmp_path: Path) -> None:
    csv, qrels = tmp_path / "labels.csv", tmp_path / "labels.qrels"
    csv.write_text(f"query_id,doc_id,grade,rationale\nq,d,1,{'so ' * 60_000}\n")
    assert len(read_labels_any(csv)["rationale"][0]) == 180_000
    qrels.write_text("q 0 d 1\n", encoding="utf-8-sig")
    assert list(read_labels_any(qrels)["query_id"]) == ["q"]
