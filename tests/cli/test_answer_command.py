"""`serm answer`: a person answers the supervisor at a terminal or in a pipe."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_data import MakeConfig

from serm.cli.main import run
from serm.core import Settings
from serm.graphs import pending_question
from serm.storage.questions import Question, put_question
from serm.storage.workspace import Workspace

Out = pytest.CaptureFixture[str]


@pytest.fixture
def asked(make_config: MakeConfig) -> tuple[Path, Question]:
    """A workspace whose run waits for an answer."""
    config = make_config()
    with Workspace.open(Settings.from_yaml(config)) as workspace:
        about = {"round": 2, "window": "spring", "question": "Is [bold]this a campaign?"}
        return config, put_question(workspace.questions, "abc", about, 2)


def test_the_question_is_shown_and_waits_until_it_is_answered(
    asked: tuple[Path, Question], capfd: Out
) -> None:
    config, question = asked
    assert run(["answer", str(config)]) == 0
    told = capfd.readouterr().out
    assert "Round 2, window spring. The supervisor asks:" in told
    assert "Is [bold]this a campaign?" in told
    assert "Nothing is answered; the run still waits." in told
    assert question.answer is None

    assert run(["answer", str(config), "no, it is winter", "--person", "anna", "--no-resume"]) == 0
    assert "goes on with the run." in capfd.readouterr().out
    assert question.answer is not None
    assert (question.answer["answer"], question.answer["person"]) == ("no, it is winter", "anna")
    assert pending_question(Settings.from_yaml(config)) is None

    assert run(["answer", str(config), "or not"]) == 0
    assert "The supervisor asks nothing in" in capfd.readouterr().out
    assert question.answer["answer"] == "no, it is winter"


def test_a_person_may_have_no_answer(asked: tuple[Path, Question]) -> None:
    config, question = asked
    assert run(["answer", str(config), "--none", "--no-resume"]) == 0
    assert question.answer is not None
    assert question.answer["answer"] is None


def test_where_nothing_was_run_there_is_nothing_to_answer(make_config: MakeConfig, capfd: Out) -> None:
    assert run(["answer", str(make_config())]) == 9
    assert "there is no workspace" in capfd.readouterr().err


def test_a_workspace_without_its_config_takes_the_answer_too(
    asked: tuple[Path, Question], capfd: Out
) -> None:
    config, question = asked
    folder = Settings.from_yaml(config).workspace_path
    assert run(["answer", str(folder), "no", "--resume"]) == 0
    assert "The command that made the workspace goes on with the run." in capfd.readouterr().out
    assert question.answer is not None
