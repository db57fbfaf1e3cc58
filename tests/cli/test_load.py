"""A command takes a config, a folder of data or a workspace, and says which of them it cannot use."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from small_data import MakeConfig

from serm.cli.load import load_settings, look_at
from serm.cli.main import run
from serm.core import Settings
from serm.core.errors import ConfigError, WorkspaceError
from serm.storage.workspace import Workspace


def test_a_folder_with_a_config_is_that_config(make_config: MakeConfig) -> None:
    config = make_config(budget={"pairs_per_round": 17})
    assert load_settings(config.parent).budget.pairs_per_round == 17


def test_a_folder_of_data_has_defaults_and_its_recorded_judges(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_config().unlink()
    monkeypatch.chdir(tmp_path)
    settings = load_settings(tmp_path)
    assert [judge.backend.partition("#")[2] for judge in settings.judges] == ["ann", "ben"]


def test_a_workspace_is_looked_at_by_its_folder_or_its_config(make_config: MakeConfig) -> None:
    config = make_config()
    Workspace.open(Settings.from_yaml(config, environment={})).close()
    by_config, by_folder = look_at(config), look_at(config.parent / "work")
    assert by_config.folder == by_folder.folder


def test_a_workspace_cannot_be_evolved_without_its_config(
    make_config: MakeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config()
    Workspace.open(Settings.from_yaml(config, environment={})).close()
    with pytest.raises(ConfigError, match="is a workspace"):
        load_settings(config.parent / "work")
    assert run(["evolve", str(config.parent / "work")]) == 2
    assert "Give the config it was made with." in capsys.readouterr().err


@pytest.mark.parametrize("command", ["trace", "models", "evolve", "audit", "drift", "plan"])
def test_a_folder_of_nothing_that_serm_knows_is_said_to_be_that_before_anything_is_loaded(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").touch()
    monkeypatch.setitem(sys.modules, "serm.graphs.resources", None)  # an import of it would fail
    assert run([command, str(tmp_path)]) == 2
    assert "is no workspace, and has neither a serm.yaml nor pairs." in capsys.readouterr().err


def test_before_any_run_there_is_nothing_to_look_at(make_config: MakeConfig) -> None:
    with pytest.raises(WorkspaceError, match="there is no workspace"):
        look_at(make_config())
