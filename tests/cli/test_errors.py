"""What a user reads when something goes wrong: a sentence, a remedy, an exit code; never a bare traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serm.cli.errors import BUG, INTERRUPTED, report
from serm.cli.main import run
from serm.core.errors import SermError, WorkspaceLockedError


def test_an_error_is_a_message_a_remedy_and_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    code = report(WorkspaceLockedError("process 7 works in it.", "Wait until it ends."), ["evolve", "x.yaml"])
    assert code == WorkspaceLockedError.exit_code
    assert capsys.readouterr() == ("", "Error: process 7 works in it.\nWait until it ends.\n")


def test_every_error_class_has_an_exit_code_that_is_no_bugs_and_no_success() -> None:
    classes = [SermError]
    for kind in classes:
        classes += kind.__subclasses__()
    assert all(0 < kind.exit_code < BUG for kind in classes)


def test_a_bug_is_short_and_says_where_its_traceback_was_saved(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    assert report(caught.value, ["doctor", "x.yaml"]) == BUG
    shown = capsys.readouterr().err
    assert "Traceback (most recent" not in shown
    assert "Bug in serm: ZeroDivisionError: division by zero" in shown
    (kept,) = re.findall(r"The traceback is in (\S+);", shown)
    saved = Path(kept).read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in saved
    assert "serm doctor x.yaml" in saved


def test_a_bug_s_report_holds_no_login_and_no_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    error = ValueError("http://me:s3cret@host/v1 did not take sk-0123456789")
    assert report(error, ["doctor", "x.yaml"]) == BUG
    shown = capsys.readouterr().err
    assert "ValueError: http://host/v1 did not take ***" in shown
    (kept,) = re.findall(r"The traceback is in (\S+);", shown)
    told = shown + Path(kept).read_text(encoding="utf-8")
    assert "s3cret" not in told
    assert "0123456789" not in told


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--debug", "doctor", "nowhere.yaml"]) == 2
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert "there is no config file nowhere.yaml" in shown


def test_ctrl_c_leaves_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(KeyboardInterrupt(), []) == INTERRUPTED == 130
    assert capsys.readouterr().err == "Stopped.\n"


def test_a_config_that_is_not_there_is_named_with_a_remedy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for command in ("doctor", "evolve", "trace", "models", "ui"):
        assert run([command, str(tmp_path / "gone.yaml")]) == 2
        shown = capsys.readouterr().err
        assert f"there is no config file {tmp_path}/gone.yaml" in shown
        assert "serm init" in shown


def test_an_unknown_key_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "serm.yaml"
    config.write_text("data: {sources: [{pairs: x.parquet}]}\nbudgets: {pairs_per_round: 5}\n")
    assert run(["doctor", str(config)]) == 2
    assert "budgets: Extra inputs are not permitted" in capsys.readouterr().err


def test_ctrl_c_inside_a_command_leaves_with_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("serm.cli.load.load_settings", interrupted)
    assert run(["doctor", "serm.yaml"]) == 130
    assert capsys.readouterr().err == "Stopped.\n"
