"""BEIR folders, TREC qrels and TREC runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serm.core.errors import ConfigError, DataError, StorageError
from serm.storage.documents import ANOTHER_TEXT, NO_DOCUMENT, NO_QUERY, Texts

Rows = Callable[..., Any]

DOCUMENTS = [
    {"_id": "d1", "title": "One", "text": "first"},
    {"_id": "d2", "title": "", "text": "second"},
    {"_id": "d3", "title": "Three", "text": ""},
    {"_id": "unused", "title": "", "text": "never judged"},
]
QUERIES = [{"_id": "q1", "text": "what is one"}, {"_id": "q2", "text": "what is two"}]


def lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "nfcorpus"
    (folder / "qrels").mkdir(parents=True)
    lines(folder / "corpus.jsonl", DOCUMENTS)
    lines(folder / "queries.jsonl", QUERIES)
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td3\t1\n")
    return folder


def test_a_beir_folder_gives_its_judged_pairs_with_their_split(beir: Path, read: Rows) -> None:
    frame, rejects = read(beir)
    assert not rejects
    columns = ["query_id", "doc_id", "query", "title", "text", "grade", "split", "source"]
    assert sorted(frame[columns].to_numpy().tolist()) == [
        ["q1", "d1", "what is one", "One", "first", 2, "train", "nfcorpus"],
        ["q1", "d2", "what is one", "", "second", 0, "train", "nfcorpus"],
        ["q2", "d3", "what is two", "Three", "", 1, "test", "nfcorpus"],
    ]


def test_beir_rows_without_a_text_or_with_a_bad_grade_are_rejected(beir: Path, read: Rows) -> None:
    file = beir / "qrels" / "train.tsv"
    file.write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq9\td1\t1\nq1\td9\t1\nq1\td2\t5\nq1 d3 1\n")
    frame, rejects = read(beir, chunk=2)
    assert len(frame) == 2
    assert sorted((item.row, item.field, item.reason[:20]) for item in rejects) == [
        (2, "query_id", NO_QUERY[:20]),
        (3, "doc_id", NO_DOCUMENT[:20]),
        (4, "grade", "out of range: a grad"),
        (5, "", "not three fields wit"),
    ]
    assert {item.file for item in rejects} == {str(file)}


def test_a_beir_folder_that_lacks_a_file_is_refused(beir: Path, read: Rows) -> None:
    (beir / "queries.jsonl").unlink()
    with pytest.raises(DataError, match=r"`queries\.jsonl` is missing"):
        read(beir, format="beir")


def test_columns_of_a_beir_folder_are_not_renamed(beir: Path, read: Rows) -> None:
    with pytest.raises(ConfigError, match="no columns to rename"):
        read(beir, columns={"text": "body"})


@pytest.fixture
def trec(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "queries.tsv").write_text("q1\twhat is one\nq2\twhat is two\n")
    (tmp_path / "corpus.tsv").write_text("doc_id\ttitle\ttext\nd1\tOne\tfirst\nd2\t\tsecond\n")
    return {"queries": "queries.tsv", "corpus": "corpus.tsv"}


def test_qrels_give_graded_pairs(tmp_path: Path, read: Rows, trec: dict[str, str]) -> None:
    (tmp_path / "dl.qrels").write_text("q1 0 d1 3\nq1 0 d2 0\nq2 Q0 d1 1\n")
    frame, rejects = read(tmp_path / "dl.qrels", **trec)
    assert not rejects
    assert frame[["query_id", "doc_id", "grade", "title", "text"]].to_numpy().tolist() == [
        ["q1", "d1", 3, "One", "first"],
        ["q1", "d2", 0, "", "second"],
        ["q2", "d1", 1, "One", "first"],
    ]


def test_a_run_gives_ungraded_pairs_with_their_rank(tmp_path: Path, read: Rows, trec: dict[str, str]) -> None:
    (tmp_path / "bm25.txt").write_text("q1 Q0 d2 1 13.5 bm25\nq1 Q0 d1 2 9.25 bm25\n")
    frame, _ = read(tmp_path / "bm25.txt", format="trec", **trec)
    assert frame["position"].tolist() == [1, 2]
    assert frame["grade"].isna().all()


def test_trec_lines_that_cannot_be_used_are_rejected(
    tmp_path: Path, read: Rows, trec: dict[str, str]
) -> None:
    (tmp_path / "x.qrels").write_bytes(b"q1 0 d1 3\nq1 0 d2 -2\nq1 d2 1\nq1 0 \xff 1\n\nq1 0 d7 1\n")
    frame, rejects = read(tmp_path / "x.qrels", **trec)
    assert len(frame) == 1
    assert sorted(item.row for item in rejects) == [2, 3, 4, 6]


def test_a_trec_file_without_texts_is_an_error_that_says_what_to_set(tmp_path: Path, read: Rows) -> None:
    (tmp_path / "x.qrels").write_text("q1 0 d1 3\n")
    with pytest.raises(ConfigError, match="`queries` is not set"):
        read(tmp_path / "x.qrels")


def test_a_corpus_without_its_columns_is_refused(tmp_path: Path, read: Rows, trec: dict[str, str]) -> None:
    (tmp_path / "x.qrels").write_text("q1 0 d1 3\n")
    (tmp_path / "corpus.jsonl").write_text('{"doc_id": "d1", "words": "a"}\n')
    with pytest.raises(DataError, match=r"corpus\.jsonl, field text: the column `text` is missing"):
        read(tmp_path / "x.qrels", queries="queries.tsv", corpus="corpus.jsonl")


def test_records_may_lack_a_field_that_others_have_or_name_it_in_another_way(
    tmp_path: Path, read: Rows, trec: dict[str, str]
) -> None:
    (tmp_path / "x.qrels").write_text("q1 0 d1 1\nq1 0 d2 1\nq1 0 d3 1\n")
    corpus = [
        {"_id": "d1", "title": "One"},
        {"_id": "d2", "text": "second", "title": "Two"},
        {"docid": "d3", "contents": "third", "title": "Three"},
    ]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    frame, rejects = read(tmp_path / "x.qrels", queries="queries.tsv", corpus="corpus.jsonl")
    assert not rejects
    assert frame[["title", "text"]].to_numpy().tolist() == [
        ["One", ""],
        ["Two", "second"],
        ["Three", "third"],
    ]


def test_titles_that_the_first_record_lacks_are_read(beir: Path, read: Rows) -> None:
    first = {name: value for name, value in DOCUMENTS[0].items() if name != "title"}
    lines(beir / "corpus.jsonl", [first, *DOCUMENTS[1:]])
    frame, _ = read(beir)
    assert dict(zip(frame["doc_id"], frame["title"], strict=True)) == {"d1": "", "d2": "", "d3": "Three"}


@pytest.mark.parametrize("again", [{"text": "another"}, {"title": "Another"}])
def test_an_id_that_comes_again_with_another_text_is_rejected_and_the_first_holds(
    beir: Path, read: Rows, again: dict[str, str]
) -> None:
    lines(beir / "corpus.jsonl", [*DOCUMENTS, DOCUMENTS[0], {**DOCUMENTS[0], **again}])
    lines(beir / "queries.jsonl", [*QUERIES, QUERIES[1], {"_id": "q1", "text": "another"}])
    frame, rejects = read(beir)
    first = frame[frame["doc_id"] == "d1"]
    assert first[["query", "title", "text"]].to_numpy().tolist() == [["what is one", "One", "first"]]
    assert [(item.file, item.row, item.field, item.reason) for item in rejects] == [
        (str(beir / "queries.jsonl"), 4, "id", ANOTHER_TEXT),
        (str(beir / "corpus.jsonl"), 6, "id", ANOTHER_TEXT),
    ]


def test_a_disk_without_room_for_a_corpus_is_a_storage_error() -> None:
    with Texts({}) as texts:
        texts._documents.execute("PRAGMA max_page_count=3")
        with pytest.raises(StorageError, match="the disk is full"):
            all(texts._keep(f"d{number}", "", "x" * 4_000) for number in range(9))
