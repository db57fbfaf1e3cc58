"""`serm review`: a person at a terminal, in a pipe, or with a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from small_data import MakeConfig
from small_world import world

from serm.cli.main import run
from serm.core import Settings
from serm.core.records import PairKey
from serm.graphs import pending_review
from serm.storage.artifacts import write_json
from serm.storage.reviews import ABOUT, PAIRS, HumanAnswer, Review, point_at
from serm.storage.workspace import Workspace

PROGRAM = "from serm.cli.main import main; main()"
LONG = "once upon a time " * 150
KEYS = [PairKey("q1", "d1"), PairKey("q1", "d2"), PairKey("q2", "d1")]


@pytest.fixture
def waiting(make_config: MakeConfig) -> tuple[Path, Review]:
    """A workspace whose run waits for a person to look at three pairs."""
    config = make_config()
    with Workspace.open(Settings.from_yaml(config)) as workspace:
        folder = workspace.reviews / "abc"
        folder.mkdir()
        said = [
            {"judge": "ann", "grade": 0, "reason": "it is a shop", "simulated": False},
            {"judge": "ben", "grade": 3, "reason": "", "simulated": True},
        ]
        rows = [
            (*KEYS[0], "red lamp", "a lamp", LONG + "THE END", "en", json.dumps(said)),
            (*KEYS[1], "red lamp", "", "[bold]no markup[/bold] \x1b[31m red", "en", json.dumps(said)),
            (*KEYS[2], "blaue Uhr", "Uhr, blau", 'sie "tickt", immer', "de", json.dumps(said)),
        ]
        columns = ["query_id", "doc_id", "query", "title", "text", "language", "votes"]
        pd.DataFrame(rows, columns=columns).to_parquet(folder / PAIRS, index=False)
        about = {"round": 2, "window": "spring", "labels": "abc", "dropped": 9}
        write_json(folder / ABOUT, {**about, "opened": "2026-01-01T00:00:00+00:00"})
        review = Review(folder)
        point_at(workspace.reviews, review, rounds=2)
    return config, review


def type_in(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(line + "\n" for line in lines)))


def grades(review: Review) -> dict[PairKey, int | None]:
    return {key: answer.grade for key, answer in review.answers().items()}


def test_piped_answers_are_kept_one_by_one_and_a_later_session_goes_on(
    waiting: tuple[Path, Review], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config, review = waiting
    type_in(monkeypatch, "n", "only half of it", "2", "q")
    assert run(["review", str(config), "--reviewer", "anna"]) == 0
    out = capfd.readouterr().out
    assert "0 of 3 done" in out
    assert "red lamp" in out
    assert "1 answered, 0 skipped, 2 open" in out
    assert f"2 still open; `serm review {config}` goes on with them." in out
    (answer,) = review.answers().values()
    assert (answer.key, answer.grade, answer.reviewer) == (KEYS[0], 2, "anna")
    assert (answer.note, answer.saw_votes) == ("only half of it", False)
    assert answer.seconds is not None

    type_in(monkeypatch, "s", "3")
    assert run(["review", str(config), "--reviewer", "ben"]) == 0
    assert grades(review) == {KEYS[0]: 2, KEYS[1]: None, KEYS[2]: 3}
    out = capfd.readouterr().out
    assert "2 answered, 1 skipped, 0 open" in out
    assert "By anna 1, ben 2." in out
    assert f"`serm evolve {config}` goes on with the run." in out


def test_a_workspace_without_its_config_takes_answers_too(
    waiting: tuple[Path, Review], capfd: pytest.CaptureFixture[str]
) -> None:
    config, review = waiting
    folder = Settings.from_yaml(config).workspace_path
    assert run(["review", str(folder), "--finish", "--resume"]) == 0
    assert "The command that made the workspace goes on with the run." in capfd.readouterr().out
    assert not review.open()


def test_an_answer_can_be_taken_back_but_only_ones_own(
    waiting: tuple[Path, Review], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config, review = waiting
    type_in(monkeypatch, "0", "1")
    run(["review", str(config), "--reviewer", "anna"])
    type_in(monkeypatch, "u", "3", "u", "u", "q")
    run(["review", str(config), "--reviewer", "ben"])
    assert grades(review) == {KEYS[0]: 0, KEYS[1]: 1}  # ben's 3 is gone, anna's answers are not his
    assert "there is nothing of yours to undo" in capfd.readouterr().out


def test_the_judges_are_hidden_until_asked_for_and_the_answer_says_which(
    waiting: tuple[Path, Review], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config, review = waiting
    type_in(monkeypatch, "1", "v", "1", "q")
    run(["review", str(config)])
    first, second = capfd.readouterr().out.split("→ 1 related")[:2]
    assert "ann: grade 0" not in first
    assert "ann: grade 0" in second
    assert "“it is a shop”" in second
    assert "ben: grade 3  SIMULATED" in second
    assert [answer.saw_votes for answer in review.answers().values()] == [False, True]
    type_in(monkeypatch, "q")
    run(["review", str(config), "--show-votes"])
    assert "ann: grade 0" in capfd.readouterr().out


def test_a_long_text_has_pages_and_a_documents_text_is_only_text(
    waiting: tuple[Path, Review], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config, _ = waiting
    type_in(monkeypatch, "m", "m", "m", "x", "?", "0", "q")
    run(["review", str(config)])
    out = capfd.readouterr().out
    assert [out.count(f"text ({page}/3)") for page in (1, 2, 3)] == [2, 1, 1]
    assert out.count("THE END") == 1
    assert "perfectly relevant" in out
    assert "[bold]no markup[/bold]" in out
    assert "\x1b[31m red" not in out


def test_a_spreadsheet_goes_out_and_comes_back(
    waiting: tuple[Path, Review], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config, review = waiting
    sheet = tmp_path / "sheet.csv"
    assert run(["review", str(config), "--export", str(sheet)]) == 0
    rows = list(csv.DictReader(sheet.open(encoding="utf-8-sig", newline="")))
    assert [row["text"] for row in rows][1:] == ["[bold]no markup[/bold] \x1b[31m red", 'sie "tickt", immer']
    assert all(row["grade"] == "" for row in rows)
    assert "votes" not in rows[0]
    assert run(["review", str(config), "--import", str(sheet)]) == 0
    assert review.history() == []  # an empty grade is no answer

    rows[0]["grade"], rows[1]["grade"], rows[1]["note"] = "3.0", "skip", "nobody knows"
    with sheet.open("w", encoding="utf-8", newline="") as file:  # as a German spreadsheet saves it
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    for _ in range(2):  # the second time it says nothing new
        assert run(["review", str(config), "--import", str(sheet), "--reviewer", "anna"]) == 0
    assert grades(review) == {KEYS[0]: 3, KEYS[1]: None}
    assert [answer.note for answer in review.history()] == ["", "nobody knows"]
    out = capfd.readouterr().out
    assert "2 answers taken" in out
    assert "0 answers taken" in out
    assert "1 still open" in out


def test_a_sheet_says_nothing_of_rows_that_its_reader_left_as_they_were(
    waiting: tuple[Path, Review], tmp_path: Path
) -> None:
    """Others may correct an answer, or take it back, between the export and the import."""
    config, review = waiting
    sheet = tmp_path / "sheet.csv"
    review.add([HumanAnswer(*key, grade=2, reviewer="ben", note="-1 of a kind") for key in KEYS[:2]])
    assert run(["review", str(config), "--export", str(sheet)]) == 0
    review.add([HumanAnswer(*KEYS[0], grade=0, reviewer="ben", note="I was wrong")])
    review.add([HumanAnswer(*KEYS[1], grade=2, reviewer="ben", undone=True)])
    rows = list(csv.DictReader(sheet.open(encoding="utf-8-sig", newline="")))
    assert rows[0]["note"] == "'-1 of a kind", "no formula"
    rows[0]["grade"] = "2.0"  # as the spreadsheet writes it
    rows[2]["grade"], rows[2]["note"] = "1", "'=1+1"
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert run(["review", str(config), "--import", str(sheet), "--reviewer", "anna"]) == 0
    assert grades(review) == {KEYS[0]: 0, KEYS[2]: 1}
    assert [answer.note for answer in review.history() if answer.reviewer == "anna"] == ["=1+1"]


def test_json_lines_go_out_and_come_back_with_the_judges_where_wanted(
    waiting: tuple[Path, Review], tmp_path: Path
) -> None:
    config, review = waiting
    file = tmp_path / "pairs.jsonl"
    assert run(["review", str(config), "--export", str(file), "--show-votes"]) == 0
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert rows[0]["votes"][0] == {"judge": "ann", "grade": 0, "reason": "it is a shop", "simulated": False}
    said = [{**row, "grade": grade, "reviewer": "cid"} for row, grade in zip(rows, (0, 3, 1), strict=True)]
    file.write_text("\n".join(json.dumps(row) for row in said), encoding="utf-8")
    assert run(["review", str(config), "--import", str(file)]) == 0
    assert list(grades(review).values()) == [0, 3, 1]
    assert {answer.reviewer for answer in review.history()} == {"cid"}


def test_every_bad_row_of_a_file_is_named_and_none_of_it_is_taken(
    waiting: tuple[Path, Review], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config, review = waiting
    file = tmp_path / "bad.csv"
    file.write_text(
        "query_id,doc_id,grade\nq1,d1,2\nq1,d2,4\nq9,d1,1\nq1,d1,3\nq2,d1,very\n", encoding="utf-8"
    )
    assert run(["review", str(config), "--import", str(file)]) == 3
    err = capfd.readouterr().err
    assert f"file {file}, row 2, field grade: `4` is no grade" in err
    assert "row 3, field doc_id: query q9, document d1 is no pair of this review" in err
    assert "row 4, field grade: the pair has another grade in an earlier row" in err
    assert "row 5, field grade: `very` is no grade" in err
    assert "Nothing of the file was taken" in err
    assert review.history() == []


BAD_FILES = {
    "missing.csv": (None, "there is no such file"),
    "short.csv": (b"query_id,grade\nq1,2\n", "the column `doc_id` is missing"),
    "latin.csv": (b"query_id,doc_id,grade,note\nq1,d1,2,\xff\n", "it is not UTF-8"),
    "cut.jsonl": (b'{"query_id": "q1"\n', "row 1: it is no JSON object"),
    "sheet.xlsx": (b"", "a review is no `.xlsx` file"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_read_says_why(
    waiting: tuple[Path, Review], tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    config, review = waiting
    content, said = BAD_FILES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert run(["review", str(config), "--import", str(tmp_path / name)]) != 0
    assert said in capfd.readouterr().err
    assert review.history() == []


def test_status_says_what_waits_and_finish_skips_the_rest(
    waiting: tuple[Path, Review], capfd: pytest.CaptureFixture[str]
) -> None:
    config, review = waiting
    assert run(["review", str(config), "--status"]) == 0
    told = "Round 2, window spring: the panel dropped 9 pairs, a person is asked about 3."
    assert told in capfd.readouterr().out
    assert run(["review", str(config), "--finish", "--no-resume"]) == 0
    assert grades(review) == dict.fromkeys(KEYS)
    assert {answer.note for answer in review.history()} == {"not looked at"}
    review.close()
    assert run(["review", str(config), "--status"]) == 0
    assert "Nothing waits for a person" in capfd.readouterr().out


def read_until(terminal: int, text: str) -> str:
    """What the program shows until it shows this."""
    shown, ends = "", time.monotonic() + 60
    while text not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0, ends - time.monotonic()))
        assert ready, shown
        shown += os.read(terminal, 4096).decode(errors="replace")
    return shown


def test_at_a_terminal_single_keys_answer_and_ctrl_c_keeps_them(waiting: tuple[Path, Review]) -> None:
    config, review = waiting
    ours, theirs = pty.openpty()
    # Ctrl-C goes to whom the terminal belongs; a shell that started the tests may have made it ignored.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"import os; os.login_tty({theirs}); {heard}; {PROGRAM}"
    command = [sys.executable, "-c", program, "review", str(config), "--reviewer", "anna"]
    process = subprocess.Popen(command, pass_fds=(theirs,))
    os.close(theirs)
    try:
        os.write(ours, b"2")
        read_until(ours, "1 of 3 done")
        os.write(ours, b"u")
        read_until(ours, "0 of 3 done")
        os.write(ours, b"\x1b[3~nso it is\n1")  # an arrow key or the like, then typed ahead
        read_until(ours, "1 of 3 done")
        os.write(ours, b"\x03")
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert grades(review) == {KEYS[0]: 1}
    assert review.answers()[KEYS[0]].note == "so it is"


def test_the_run_goes_on_from_the_review_to_the_rounds_that_were_asked_for(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    judges = [
        {"backend": "simulated:accuracy=0.7,shared=0.3,seed=3", "name": name} for name in ("ann", "bob")
    ]
    agreement = {"human_review": True, "review_limit": 2}
    values: dict[str, Any] = world(tmp_path, tiny_encoder, judges=judges, agreement=agreement)
    config = tmp_path / "serm.yaml"
    config.write_text(yaml.safe_dump(values), encoding="utf-8")

    assert run(["evolve", str(config), "--rounds", "1"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "Waiting for a person: the judges do not agree on 2 pairs." in out
    assert f"`serm review {config}` asks about them, and the run goes on." in out
    assert "Done" not in out

    type_in(monkeypatch, "3", "0")
    assert run(["review", str(config), "--reviewer", "anna", "--resume"]) == 0
    out = capfd.readouterr().out
    assert "2 answered, 0 skipped, 0 open" in out
    assert "Done: all 1 rounds are done." in out  # and no second round, as none was asked for
    assert "How the labels came about" in out
    assert pending_review(Settings.from_yaml(config)) is None

    assert run(["trace", str(config)]) == 0
    tree = capfd.readouterr().out
    assert "waits for a person: 2 pairs" in tree
    assert "by anna" in tree
    assert "2 of 2 answered, 0 skipped" in tree
    asked = json.loads((tmp_path / "workspace/rounds/001/round.json").read_text())["human"]["review"]
    key = Review(tmp_path / "workspace" / asked).keys[0]
    assert run(["trace", str(config), "--pair", *key]) == 0
    story = capfd.readouterr().out
    assert "person       anna: grade 3, after 0." in story
    assert "human: grade 3, vote shares 0:0.00 1:0.00 2:0.00 3:1.00" in story
    assert "human:anna" not in story
    (human,) = [line.split() for line in tree.splitlines() if line.split()[:1] == ["human"]]
    assert human[1:4] == ["2", "2", "5.0%"]
