"""No command writes over what it reads, or over what people wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from serm.cli.main import run
from serm.cli.outputs import files_of, require_apart, require_no_grades
from serm.core import Settings
from serm.core.errors import ConfigError


def test_a_file_that_is_read_or_written_already_is_refused(tmp_path: Path) -> None:
    read, folder = tmp_path / "pairs.csv", tmp_path / "beir"
    folder.mkdir()
    (folder / "corpus.jsonl").write_text("{}")
    inputs = {"PAIRS": read, "--gold": None, "--corpus": folder}
    other = tmp_path / "x" / ".." / "pairs.csv"
    for outputs, said in (
        ({"--out": read}, "--out .* would take the place of PAIRS"),
        ({"--out": tmp_path / "labels.csv", "--record": other}, "--record .* the place of PAIRS"),
        ({"--out": other.with_name("l.csv"), "--record": other.with_name("l.csv")}, "what --out writes"),
        ({"--out": folder / "corpus.jsonl"}, "the place of --corpus"),
    ):
        with pytest.raises(ConfigError, match=said):
            require_apart(outputs, inputs)
    require_apart({"--out": folder / "labels.jsonl", "--record": None}, inputs)


def test_the_files_of_a_config_are_its_sources_and_recordings(tmp_path: Path) -> None:
    values = {
        "data": {"sources": [{"pairs": "a/log.parquet", "corpus": "docs.jsonl"}]},
        "judges": ["replay:judgments.parquet#j", "simulated:accuracy=1"],
    }
    found = files_of(Settings.from_mapping(values, folder=tmp_path, environment={}), tmp_path / "serm.yaml")
    names = {path.relative_to(tmp_path).as_posix() for path in found.values() if path}
    assert names == {"a/log.parquet", "docs.jsonl", "judgments.parquet", "serm.yaml"}


@pytest.mark.parametrize(
    ("name", "text", "grades"),
    [
        ("g.csv", "query_id,doc_id,grade\r\nq,d,2\r\nq,e,\r\n", {("q", "d", "2")}),
        (
            "g.csv",
            "\ufeffquery_id;doc_id;text;grade\nq;d;a, b;2\nq;e;c;skip\n",
            {("q", "d", "2"), ("q", "e", "skip")},
        ),
        (
            "g.jsonl",
            '{"query_id": "q", "doc_id": "d", "grade": 1}\n{"query_id": "q", "doc_id": "e", "grade": ""}\n',
            {("q", "d", "1")},
        ),
    ],
)
def test_grades_that_people_filled_in_are_kept_unless_they_are_known(
    tmp_path: Path, name: str, text: str, grades: set[tuple[str, str, str]]
) -> None:
    file = tmp_path / name
    require_no_grades("--ask", file, "")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"{len(grades)} grades in that file"):
        require_no_grades("--ask", file, "Give another name.")
    require_no_grades("--export", file, "", known=grades)
    other = {(query, document, "3") for query, document, _ in grades}
    with pytest.raises(ConfigError, match=f"{len(grades)} grades in that file"):
        require_no_grades("--export", file, "", known=other)


def test_a_file_of_something_else_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "notes.csv"
    file.write_text("what I found\n")
    with pytest.raises(ConfigError, match="no file that serm wrote"):
        require_no_grades("--ask", file, "")


def test_annotate_and_mine_leave_their_input_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pairs, config = tmp_path / "pairs.csv", tmp_path / "serm.yaml"
    before = "query_id,query,doc_id,text,grade\nq,a,d,b,2\n"
    pairs.write_text(before)
    config.write_text(
        "judges: ['simulated:accuracy=1']\ndata: {sources: [{pairs: pairs.csv}]}\n", encoding="utf-8"
    )
    for arguments in (
        ["annotate", str(pairs), "--config", str(config), "--out", str(pairs)],
        ["annotate", str(pairs), "--config", str(config), "--out", "l.csv", "--record", str(pairs)],
        ["mine", str(config), "--out", str(pairs)],
    ):
        assert run(arguments) == 2
        assert "would take the place of" in capfd.readouterr().err
    assert pairs.read_text() == before


def test_pairs_that_no_judge_is_for_are_told_of_before_anything_is_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs, config = tmp_path / "pairs.csv", tmp_path / "serm.yaml"
    pairs.write_text("query_id,query,doc_id,text\nq,a,d,b\n")
    config.write_text("judges: [{backend: 'simulated:accuracy=1', sources: [web]}]\n", encoding="utf-8")
    command = ["annotate", str(pairs), "--config", str(config), "--out", str(tmp_path / "l.csv")]
    assert run(command) == 2
    assert "no judge of the config is for pairs that are called `pairs`" in capfd.readouterr().err
