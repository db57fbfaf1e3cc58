"""`serm ui` starts MLflow on this machine alone, on the workspace."""

from __future__ import annotations

import os
import sys

import pytest
from small_data import MakeConfig

from serm.cli.main import run
from serm.core import Settings
from serm.storage.workspace import Workspace


def test_ui_becomes_mlflow_on_the_loopback(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config()
    settings = Settings.from_yaml(config, environment={})
    Workspace.open(settings).close()
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "true")  # put back after the test
    called = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: called.append((path, arguments)))
    assert run(["ui", str(config), "--port", "5055"]) == 0
    uri = f"sqlite:///{settings.workspace_path}/mlflow.db"
    ((path, arguments),) = called
    assert path == sys.executable
    assert ["-m", "mlflow", "ui", "--backend-store-uri", uri] == arguments[3:8]
    assert arguments[8:12] == ["--host", "127.0.0.1", "--port", "5055"]
    assert "http://127.0.0.1:5055" in capsys.readouterr().out


def test_ui_of_a_tracking_server_prints_its_address_and_what_to_look_for(
    make_config: MakeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config(storage={"mlflow": "http://tracking.example:5000"})
    with Workspace.open(Settings.from_yaml(config, environment={})) as workspace:
        name = workspace.registered_as
    assert run(["ui", str(config)]) == 0
    told = (
        f"MLflow runs at http://tracking.example:5000; this workspace's runs and models are called {name}.\n"
    )
    assert capsys.readouterr().out == told


def test_ui_shows_no_login_neither_on_the_console_nor_among_the_arguments(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config(storage={"mlflow": "postgresql://me:s3cret@db.example/mlflow"})
    Workspace.open(Settings.from_yaml(config, environment={})).close()
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "true")  # both are put back after the test
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "")
    called: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: called.append(arguments))
    assert run(["ui", str(config)]) == 0
    assert "s3cret" not in str(called)
    assert os.environ["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:s3cret@db.example/mlflow"
    assert "MLflow on postgresql://db.example/mlflow" in (shown := capsys.readouterr().out)
    assert "s3cret" not in shown


def test_ui_before_any_run_says_that_there_is_no_workspace(
    make_config: MakeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ui", str(make_config())]) == 9
    assert "there is no workspace" in capsys.readouterr().err
