"""Human grades of any file of pairs, and what is wrong with one told by file, row and field."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serm.core.errors import DataError
from serm.storage.gold import read_gold

ROWS = [("q1", "007", 2), ("q1", "d2", 0), ("q2", "007", None)]
FOUND = [("q1", "007", 2), ("q1", "d2", 0)]


def write(path: Path) -> Path:
    frame = pd.DataFrame(ROWS, columns=["query_id", "doc_id", "grade"]).astype({"grade": "Int8"})
    kind = path.suffix
    if kind == ".parquet":
        frame.to_parquet(path)
    elif kind == ".csv":
        frame.to_csv(path, index=False)
    elif kind == ".tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif kind == ".jsonl":
        lines = [{"query_id": q, "doc_id": d, **({} if g is None else {"grade": g})} for q, d, g in ROWS]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        path.write_text("".join(f"{q} 0 {d} {g}\n" for q, d, g in FOUND))
    return path


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".tsv", ".jsonl", ".qrels", ".txt"])
def test_every_format_gives_the_graded_pairs(tmp_path: Path, ending: str) -> None:
    frame = read_gold(write(tmp_path / f"gold{ending}"))
    assert list(frame.itertuples(index=False, name=None)) == FOUND


def test_a_folder_is_read_as_pairs_are(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["query_id", "doc_id", "grade"]).astype({"grade": "Int8"})
    frame.assign(query="what", text="this").to_parquet(tmp_path / "pairs.parquet")
    assert list(read_gold(tmp_path).itertuples(index=False, name=None)) == FOUND


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("q3,this,d1,what,7", r"row 2, field grade: out of range"),
        ("q3,,d1,what,1", r"row 2, field text: title and text are both blank"),
        ("q3,this", r"row 2: another number of fields"),
    ],
)
def test_a_bad_row_of_a_folder_is_told_and_not_left_out(tmp_path: Path, bad: str, told: str) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(f"query_id,text,doc_id,query,grade\nq1,this,d1,what,2\n{bad}\nq4,this,d1,what,9\n")
    with pytest.raises(DataError, match=told) as caught:
        read_gold(tmp_path)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("query_id,doc_id,grade\nq,d,4\n", r"row 1, field grade: `4` is out of range"),
        ("query_id,doc_id,grade\nq,d,0\nq,e,good\n", r"row 2, field grade: `good`"),
        ("query_id,doc_id,grade\nq,d,0\nq,d,1\n", r"row 2, field grade: the pair q, d has two grades"),
        ("query_id,doc_id,grade\n,d,0\n", r"row 1, field query_id: it is blank"),
        ("query_id,sku,grade\nq,d,0\n", r"field doc_id: the column `doc_id` is missing"),
        ("query_id,doc_id,grade\nq,d,\n", r"no row bears a grade"),
        ("", r"no row bears a grade"),
    ],
)
def test_what_is_wrong_is_told_by_file_row_and_field(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "gold.csv"
    file.write_text(content)
    with pytest.raises(DataError, match=told) as caught:
        read_gold(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("gold.qrels", "q 0 d 1\nq 0 e\n", "row 2: 3 fields"),
        ("gold.jsonl", '{"query_id": "q", "doc_id": "d", "grade": 1}\nnothing\n', "row 2: no JSON"),
        (
            "gold.jsonl",
            '{"query_id": "q", "doc_id": "d", "grade": true}\n',
            "row 1, field grade: `True` is out",
        ),
        (
            "gold.csv",
            'text,query_id,doc_id,grade\n"open,q,d,1\nx,q,e,1\n27",q,f,1\n',
            "row 1: no CSV: a quote",
        ),
        (
            "gold.csv",
            "query_id,doc_id,grade,grade\nq,d,1,2\n",
            "field grade: the column `grade` stands twice",
        ),
        ("gold.parquet", "nothing", "no whole Parquet file"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=told):
        read_gold(tmp_path / name)
    with pytest.raises(DataError, match="no such file"):
        read_gold(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("gold.csv", "query_id,doc_id,grade\nq,d,1\nqué,d,2\n", "row 2, field query_id: it is not UTF-8"),
        ("gold.tsv", "query_id\tdoc_id\tgrade\nq\td\té\n", "row 1, field grade: it is not UTF-8"),
        ("gold.csv", "query_id,doc_id,gradé\nq,d,1\n", "gold.csv: it is not UTF-8"),
        ("gold.qrels", "q 0 d 1\nqué 0 d 2\n", "row 2: it is not UTF-8"),
        ("gold.jsonl", '{"query_id": "é", "doc_id": "d", "grade": 1}\n', "row 1: not UTF-8"),
        (
            "gold.jsonl",
            '{"query_id": "\\ud83d", "doc_id": "d", "grade": 1}\n',
            "field query_id: it is not UTF-8",
        ),
        ("gold.jsonl", '{"query_id": "q", "doc_id": "d", "grade": 1%s}\n' % ("0" * 400), "out of range"),
    ],
)
def test_a_file_in_another_encoding_is_refused_where_it_is_none(
    tmp_path: Path, name: str, content: str, told: str
) -> None:
    (tmp_path / name).write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=told):
        read_gold(tmp_path / name)


def test_a_parquet_column_of_bytes_that_are_no_text_is_named(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"qu\xe9"]).buffers())
    pq.write_table(pa.table({"query_id": ["q"], "doc_id": broken, "grade": [1]}), tmp_path / "gold.parquet")
    with pytest.raises(DataError, match="field doc_id: it is not UTF-8"):
        read_gold(tmp_path / "gold.parquet")


def test_pairs_with_long_texts_are_gold_too(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(f"query_id,doc_id,grade,text\nq,d,1,{'long ' * 40_000}\n")
    assert list(read_gold(file).itertuples(index=False, name=None)) == [("q", "d", 1)]
    file.write_text(f"query_id,doc_id,grade,text\nq,d,1,short\nq,e,1,{'x' * (16 * 2**20 + 1)}\n")
    with pytest.raises(DataError, match=r"row 2: no CSV: field larger"):
        read_gold(file)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    file = write(tmp_path / "gold.csv")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)"):
        read_gold(file)
