"""`serm models` lists versions; `serm models promote` moves the champion by hand, and asks first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from small_data import MakeConfig
from typer.testing import CliRunner

from serm.cli.main import app, run
from serm.core import Settings
from serm.relevance_model.description import write_description
from serm.relevance_model.registry import ModelRegistry
from serm.storage.workspace import Workspace

DESCRIPTION = {
    "kind": "crossencoder",
    "temperature": 1.0,
    "max_length": 8,
    "query_prefix": "",
    "document_prefix": "",
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions, the first the champion. Made once, because MLflow takes seconds for its tables."""
    folder = tmp_path_factory.mktemp("registry")
    registry = ModelRegistry(f"sqlite:///{folder}/mlflow.db")
    for key in ("m0", "m1"):
        registry.register(folder / key, key, {"serm.round": key[1]})
    registry.set_alias("champion", 1)
    return folder / "mlflow.db"


@pytest.fixture
def config(make_config: MakeConfig, database: Path) -> Path:
    path = make_config()
    with Workspace.open(Settings.from_yaml(path, environment={})) as workspace:
        shutil.copy(database, workspace.folder / "mlflow.db")
        for key in ("m0", "m1"):
            write_description(workspace.models / key, DESCRIPTION)
    return path


def champion(config: Path) -> tuple[int, str] | None:
    settings = Settings.from_yaml(config, environment={})
    return ModelRegistry(Workspace.read(settings.workspace_path).mlflow_uri).alias("champion")


def test_models_lists_every_version_with_its_alias(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in (["models", str(config)], ["models", "list", str(config.parent / "work")]):
        assert run(arguments) == 0
        out, err = capfd.readouterr()
        rows = [line for line in out.splitlines() if "m0" in line or "m1" in line]
        assert len(rows) == 2
        assert "champion" in rows[0]
        assert "round 1" in rows[1]
        assert err == ""


def test_promote_moves_the_alias_when_told_yes(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "promote", str(config), "2", "--yes"]) == 0
    assert champion(config) == (2, "m1")
    assert "Champion: version 2 (m1); before: version 1." in capsys.readouterr().out


def test_promote_asks_and_keeps_the_champion_when_told_no(config: Path) -> None:
    answer = CliRunner().invoke(app, ["models", "promote", str(config), "2"], input="n\n")
    assert answer.exit_code == 1
    assert "Champion now: version 1." in answer.output
    assert champion(config) == (1, "m0")
    assert CliRunner().invoke(app, ["models", "promote", str(config), "2"], input="y\n").exit_code == 0
    assert champion(config) == (2, "m1")


def test_scripts_read_the_versions_as_json(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list", str(config), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(item["version"], item["model_id"], item["aliases"]) for item in told] == [
        (1, "m0", ["champion"]),
        (2, "m1", []),
    ]


def test_promoting_the_champion_changes_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "promote", str(config), "1"]) == 0
    assert "is the champion already" in capsys.readouterr().out


def test_promoting_a_version_that_is_not_there_names_those_that_are(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "promote", str(config), "9", "--yes"]) == 7
    assert "there is no version 9.\nVersions: 1, 2. `serm evolve` makes them." in capsys.readouterr().err


def test_a_version_whose_weights_are_gone_or_damaged_becomes_no_champion(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = config.parent / "work" / "models" / "m1"
    (folder / "serm.json").write_text("{}", encoding="utf-8")
    assert run(["models", "promote", str(config), "2", "--yes"]) == 7
    assert "does not say what kind of model it is" in capsys.readouterr().err
    shutil.rmtree(folder)
    assert run(["models", "promote", str(config), "2", "--yes"]) == 7
    assert "the weights of version 2 are not in" in capsys.readouterr().err
    assert champion(config) == (1, "m0")


def test_promote_is_refused_while_a_run_works_in_the_workspace(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Workspace.open(Settings.from_yaml(config, environment={})):
        assert run(["models", "promote", str(config), "2", "--yes"]) == 10
    assert champion(config) == (1, "m0")


@pytest.mark.parametrize("command", ["models", "ui"])
def test_a_workspace_whose_models_are_kept_elsewhere_is_not_shown_as_empty(
    make_config: MakeConfig, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with Workspace.open(Settings.from_yaml(make_config(), environment={})) as opened:
        workspace = opened.folder
    (workspace / "rounds").mkdir(exist_ok=True)
    assert run([command, str(workspace)]) != 0
    assert "Give the config in place of the workspace" in capsys.readouterr().err
    assert not (workspace / "mlflow.db").exists()
