"""Recorded judges: what was said, what was not, and what a file may not be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from serm.agents.panel import open_panel, pairs_of
from serm.core import FailureKind, Pair, Settings
from serm.core.errors import ConfigError, DataError
from serm.llm.replay import ReplayJudge
from serm.storage.judgments import JudgmentStore

SettingsWith = Callable[..., Settings]


def file_of(folder: Path, rows: list[tuple[object, ...]], columns: str, name: str = "j.parquet") -> Path:
    path = folder / name
    frame = pd.DataFrame(rows, columns=columns.split())
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True)
    return path


def said(judge: ReplayJudge, query_id: str, doc_id: str) -> object:
    answer = asyncio.run(judge.answer(Pair(query_id, doc_id, "", ""), 0))
    return answer.failure.kind if answer.failure else answer.grade


@pytest.mark.parametrize("name", ["j.parquet", "j.csv", "j.jsonl"])
@pytest.mark.parametrize("grade", ["grade", "label"])
def test_a_recorded_grade_is_said_and_a_missing_one_is_a_failure(
    tmp_path: Path, name: str, grade: str
) -> None:
    rows = [("1", "a", "x", 3), ("1", "b", "x", 7), ("1", "c", "x", None), ("1", "a", "y", 0)]
    judge = ReplayJudge.open(file_of(tmp_path, rows, f"query_id doc_id judge {grade}", name), "x")
    assert said(judge, "1", "a") == 3
    assert said(judge, "1", "b") == FailureKind.OUT_OF_RANGE
    assert said(judge, "1", "c") == FailureKind.MISSING
    assert said(judge, "2", "a") == FailureKind.MISSING


def test_numbers_that_are_no_grade_are_out_of_range_and_words_cannot_be_parsed(tmp_path: Path) -> None:
    rows = [("1", "a", "x", "2.5"), ("1", "b", "x", "-1"), ("1", "c", "x", "two"), ("1", "d", "x", "2.0")]
    rows += [("1", "e", "x", "inf")]
    judge = ReplayJudge.open(file_of(tmp_path, rows, "query_id doc_id judge grade", "j.csv"), "x")
    assert [said(judge, "1", doc) for doc in "abcde"] == [
        FailureKind.OUT_OF_RANGE,
        FailureKind.OUT_OF_RANGE,
        FailureKind.UNPARSABLE,
        2,
        FailureKind.OUT_OF_RANGE,
    ]


def test_another_scale_is_mapped_by_the_config(tmp_path: Path, settings_with: SettingsWith) -> None:
    rows = [("1", "a", "x", 1), ("1", "b", "x", 0), ("1", "c", "x", 3)]
    path = file_of(tmp_path, rows, "query_id doc_id judge grade")
    judge = ReplayJudge.open(path, "x", grades={0: 0, 1: 2})
    assert [said(judge, "1", doc) for doc in "abc"] == [2, 0, FailureKind.OUT_OF_RANGE]
    with pytest.raises(ConfigError, match="leads to 5"):
        open_panel(settings_with({"backend": f"replay:{path}#x", "grades": {1: 5}}))


def test_a_recorded_failure_keeps_its_kind_and_a_distribution_its_shares(tmp_path: Path) -> None:
    columns = "query_id doc_id judge grade p0 p1 p2 p3 failure rationale"
    rows = [
        ("1", "a", "x", 2, 0.1, 0.2, 0.6, 0.1, None, "good"),
        ("1", "b", "x", None, None, None, None, None, "timeout", None),
    ]
    judge = ReplayJudge.open(file_of(tmp_path, rows, columns), "x")
    answer = asyncio.run(judge.answer(Pair("1", "a", "", ""), 0))
    assert (answer.distribution, answer.rationale) == ((0.1, 0.2, 0.6, 0.1), "good")
    assert said(judge, "1", "b") == FailureKind.TIMEOUT


def test_an_unknown_judge_is_refused_with_the_names_of_those_in_the_file(tmp_path: Path) -> None:
    path = file_of(tmp_path, [("1", "a", "x", 1), ("1", "a", "y", 1)], "query_id doc_id judge grade")
    with pytest.raises(ConfigError, match=r"no judge called `z`.*x, y"):
        ReplayJudge.open(path, "z")


@pytest.mark.parametrize("missing", ["query_id", "doc_id", "judge", "grade"])
def test_a_missing_column_is_named(tmp_path: Path, missing: str) -> None:
    columns = [name for name in ("query_id", "doc_id", "judge", "grade") if name != missing]
    path = file_of(tmp_path, [("1", "a", "x")], " ".join(columns))
    with pytest.raises(DataError, match=f"field {missing}: the column is missing") as error:
        ReplayJudge.open(path, "x")
    assert str(path) in str(error.value)


def test_a_pair_that_is_judged_twice_in_two_ways_is_refused(tmp_path: Path) -> None:
    columns = "query_id doc_id judge grade"
    same = file_of(tmp_path, [("1", "a", "x", 1), ("1", "a", "x", 1)], columns, "a.csv")
    assert said(ReplayJudge.open(same, "x"), "1", "a") == 1
    other = file_of(tmp_path, [("1", "a", "x", 1), ("1", "a", "x", 2)], columns, "b.csv")
    with pytest.raises(DataError, match="row 2, field grade: query 1, document a is judged twice"):
        ReplayJudge.open(other, "x")


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    whole = file_of(tmp_path, [("1", "a", "x", 1)], "query_id doc_id judge grade")
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-20])
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    header = tmp_path / "header.csv"
    header.write_text("query_id,doc_id,judge,grade\n")
    lines = tmp_path / "broken.jsonl"
    lines.write_text('{"query_id": "1"\n')
    for path, says in (
        (tmp_path / "none.parquet", "no such judgments file"),
        (cut, "no whole Parquet file"),
        (empty, "holds no judgments"),
        (header, "holds no judgments"),
        (lines, "row 1: it is no JSON"),
        (tmp_path / "j.txt", "no judgments file"),
    ):
        with pytest.raises(DataError, match=says):
            ReplayJudge.open(path, "x")


LINE = '{"query_id": %s, "doc_id": %s, "judge": "x", "grade": %s}\n'
HEADER = "query_id,doc_id,judge,grade,rationale\n"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("j.jsonl", LINE % (1, 7, 2) + "\n" + LINE % (2, "null", 1), "row 3, field doc_id: it is blank"),
        (
            "j.jsonl",
            LINE % (1, 7, 2) + '{"query_id": 2, "judge": "x", "grade": 1}',
            "row 2, field doc_id: it is",
        ),
        ("j.jsonl", LINE % (1, '" "', 2), "row 1, field doc_id: it is blank"),
        ("j.jsonl", LINE % (1, 7.0, 2), "row 1, field doc_id: wrong type: it is `7.0`"),
        ("j.jsonl", LINE % ("true", 7, 2), "row 1, field query_id: wrong type: it is `True`"),
        ("j.jsonl", LINE % ("[1]", 7, 2), "row 1, field query_id: wrong type"),
        ("j.jsonl", LINE % ('"\\ud83d"', 7, 2), "row 1, field query_id: it is not UTF-8"),
        ("j.jsonl", LINE % (1, 7, 2) + LINE % (2, 7, "true"), "row 2, field grade: wrong type: it is true"),
        ("j.jsonl", LINE % ('"é"', 7, 2), "row 1: it is not UTF-8"),
        ("j.csv", HEADER + 'q1,d1,x,2,"open\nq2,d2,x,1,fine\nq3,d3,x,0,"shut"\n', "row 1: no CSV"),
        ("j.csv", HEADER + 'q1,d1,x,2,"open\nq2,d2,x,1,fine\nq3,d3,x,0,27"\n', "row 1: no CSV: a quote"),
        ("j.csv", HEADER + "q1,d1,x,2,so\nq2,d2,x,1,so, and so\n", "row 2: another number of fields"),
        ("j.csv", HEADER + "q1,,x,2,so\n", "row 1, field doc_id: it is blank"),
        ("j.csv", HEADER + "q1,d1,x,2,café\n", "row 1, field rationale: it is not UTF-8"),
        (
            "j.csv",
            "query_id,doc_id,judge,grade,grade\nq1,d1,x,2,0\n",
            "field grade: the column `grade` stands",
        ),
    ],
)
def test_what_is_wrong_with_a_recording_is_told_by_file_row_and_field(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    (tmp_path / name).write_text(text, encoding="latin-1")
    with pytest.raises(DataError) as caught:
        ReplayJudge.open(tmp_path / name, "x")
    assert f"file {tmp_path / name}, {says}" in str(caught.value)


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("doc_id", [7.0, 8.0], "row 1, field doc_id: wrong type: it is `7.0`"),
        ("doc_id", ["a", None], "row 2, field doc_id: it is blank"),
        ("doc_id", [b"a", b"b"], "row 1, field doc_id: wrong type"),
        ("judge", ["x", None], "row 2, field judge: it is blank"),
        ("grade", [True, False], "row 1, field grade: wrong type: it is true"),
    ],
)
def test_a_parquet_recording_is_held_to_the_same(
    tmp_path: Path, column: str, values: list[object], says: str
) -> None:
    frame = pd.DataFrame({"query_id": ["1", "2"], "doc_id": ["a", "b"], "judge": "x", "grade": 1})
    frame.assign(**{column: values}).to_parquet(tmp_path / "j.parquet")
    with pytest.raises(DataError) as caught:
        ReplayJudge.open(tmp_path / "j.parquet", "x")
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["j.parquet", "j.csv", "j.jsonl"])
def test_ids_that_are_whole_numbers_are_kept_to_the_digit(tmp_path: Path, name: str) -> None:
    rows = [(1, 2**53 + 1, "x", 2), (2, 7, "x", None)]
    judge = ReplayJudge.open(file_of(tmp_path, rows, "query_id doc_id judge grade", name), "x")
    assert said(judge, "1", str(2**53 + 1)) == 2
    assert said(judge, "2", "7") == FailureKind.MISSING


def test_a_byte_order_mark_and_numbers_without_an_end_are_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text(LINE % ('"q"', '"d"', 2) + LINE % ('"q"', '"e"', 10**400), encoding="utf-8-sig")
    judge = ReplayJudge.open(path, "x")
    assert said(judge, "q", "d") == 2
    assert said(judge, "q", "e") == FailureKind.OUT_OF_RANGE


def test_what_is_recorded_can_be_replayed(
    tmp_path: Path, store: JudgmentStore, settings_with: SettingsWith
) -> None:
    columns = "query_id doc_id judge grade p0 p1 p2 p3 failure rationale simulated"
    rows = [
        ("1", "a", "x", 2, 0.1, 0.2, 0.6, 0.1, None, "good", False),
        ("1", "b", "x", None, None, None, None, None, "timeout", None, False),
        ("2", "a", "x", 7, None, None, None, None, None, None, False),
        ("1", "a", "y", 0, None, None, None, None, None, None, True),
    ]
    path = file_of(tmp_path, rows, columns)
    frame = pd.DataFrame({"query_id": ["1", "1", "2"], "doc_id": ["a", "b", "a"], "query": "q", "text": "t"})
    out = tmp_path / "recorded.parquet"

    def replay(file: Path, into: JudgmentStore) -> list[object]:
        with open_panel(settings_with(f"replay:{file}#x", f"replay:{file}#y")) as panel:
            for name in panel.names:
                panel.judge(name, pairs_of(frame), into)
            return [
                (j.key, j.judge, j.grade, j.failure and j.failure.kind, j.distribution, j.simulated)
                for j in panel.judgments(frame, into)
            ]

    first = replay(path, store)
    assert store.export_parquet(out) == 6
    with JudgmentStore(f"sqlite:///{tmp_path / 'second.sqlite'}") as second:
        assert replay(out, second) == first
    assert [row[3] for row in first] == [None, None, "timeout", "missing", "out_of_range", "missing"]
    assert [row[5] for row in first] == [False, True] * 3


def test_the_recorded_judges_of_trec_dl_are_read_with_their_traps(
    shared_data: Callable[[str], Path],
) -> None:
    path = shared_data("trec-dl") / "judgments.parquet"
    frame = pd.read_parquet(path)
    rows = frame[frame["judge"] == "prompt_mistral_graded_32"]
    judge = ReplayJudge.open(path, "prompt_mistral_graded_32")
    answers = [
        said(judge, str(query_id), str(doc_id))
        for query_id, doc_id in zip(rows["query_id"][::50], rows["doc_id"][::50], strict=True)
    ]
    assert answers == [
        int(label) if label <= 3 else FailureKind.OUT_OF_RANGE for label in rows["label"][::50]
    ]
    bad = rows[rows["label"] > 3]
    assert len(bad) == 64
    assert {said(judge, *key) for key in zip(bad["query_id"], bad["doc_id"], strict=True)} == {
        FailureKind.OUT_OF_RANGE
    }


def test_a_recorded_reason_can_be_kept_whatever_is_in_it(tmp_path: Path) -> None:
    rows = [("1", "a", "x", 3, "nul \0")]
    judge = ReplayJudge.open(file_of(tmp_path, rows, "query_id doc_id judge grade rationale"), "x")
    assert asyncio.run(judge.answer(Pair("1", "a", "", ""), 0)).rationale == "nul \ufffd"
