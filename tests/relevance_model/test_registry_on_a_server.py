"""A real MLflow server, over HTTP, with the settings that it has by default."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from serm.cli.check_services import check_mlflow
from serm.cli.checks import Patient, Status
from serm.core import Settings
from serm.relevance_model.registry import CHALLENGER, CHAMPION, ModelRegistry, ModelVersion
from serm.storage.mlflow_file import make_whole
from serm.storage.trace import SpanKind, Tracer, span
from serm.storage.traces_mlflow import export_round, quiet_mlflow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
_STARTS_IN = 150  # seconds, on a machine that is at other work


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with quiet_mlflow():
        make_whole(f"sqlite:///{folder}/mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), *store],
        cwd=folder,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        uri = f"http://127.0.0.1:{port}"
        if not _answers(uri, process):
            pytest.skip("no MLflow server could be started on this machine")
        yield uri
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(uri: str, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + _STARTS_IN
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=5):
                return True
        except OSError:
            time.sleep(0.2)
    return False


def test_a_model_is_registered_once_and_its_weights_stay_where_they_are(
    server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    registry = ModelRegistry(server, "once")
    weights = tmp_path / "some weights"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"x" * 1_000)
    first = registry.register(weights, "abc", {"serm.round": "0"})
    assert ModelRegistry(server, "once").register(weights, "abc", {"serm.round": "0"}) == first == 1
    assert registry.register(tmp_path / "gone", "def", {"serm.round": "1"}) == 2
    registry.set_alias(CHAMPION, 1)
    registry.set_alias(CHALLENGER, 2)
    registry.set_alias(CHAMPION, 2)
    versions = ModelRegistry(server, "once").versions()
    assert [_told(item) for item in versions] == [
        (1, "abc", weights.as_uri(), "0", ()),
        (2, "def", (tmp_path / "gone").as_uri(), "1", (CHALLENGER, CHAMPION)),
    ]
    assert registry.find().model_id == "def"
    assert registry.alias(CHAMPION) == (2, "def")
    assert capfd.readouterr() == ("", "")


def _told(item: ModelVersion) -> tuple[int, str, str, str, tuple[str, ...]]:
    return item.version, item.model_id, item.folder, item.tags["serm.round"], tuple(sorted(item.aliases))


def test_what_the_alias_s_uri_brings_is_a_note_of_where_the_weights_are(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = ModelRegistry(server, "noted")
    registry.set_alias(CHAMPION, registry.register(tmp_path, "abc", {}))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    found = mlflow.artifacts.download_artifacts(f"models:/{registry.name}@champion")
    (note,) = Path(found).iterdir()
    assert json.loads(note.read_text())["weights"] == tmp_path.as_uri()
    bearer = MlflowClient(server, server).get_model_version_by_alias(registry.name, CHAMPION)
    assert (bearer.tags["serm.model_id"], bearer.tags["serm.folder"]) == ("abc", tmp_path.as_uri())


def test_a_run_that_a_kill_left_without_a_version_is_found_again(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = ModelRegistry(server, "killed")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(registry._client, "create_model_version", killed)
        with pytest.raises(KeyboardInterrupt):
            registry.register(tmp_path, "abc", {})
    assert registry.register(tmp_path, "abc", {}) == 1
    (run,) = registry._client.search_runs([registry._experiment])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "model abc")
    assert registry._client.get_model_version("killed", "1").run_id == run.info.run_id


def test_a_round_s_figures_and_trace_are_there_once_and_nothing_is_printed(
    server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tracer = Tracer(tmp_path / "traces.sqlite", "feedc0de")
    with tracer.active(), span("round 1", SpanKind.ROUND), span("mine", SpanKind.NODE):
        pass
    tracer.close()
    registry = ModelRegistry(server, "rounds")
    found = set()
    for _ in range(2):
        traced = export_round(tmp_path / "traces.sqlite", "feedc0de", server, "rounds", {"serm.round": "1"})
        found.add((traced, registry.log_round("feedc0de", {"pairs": 600}, {"ndcg4": 0.5})))
    ((_, run_id),) = found
    run = MlflowClient(server).get_run(run_id)
    assert (run.info.status, run.data.params, run.data.metrics) == (
        "FINISHED",
        {"pairs": "600"},
        {"ndcg4": 0.5},
    )
    assert capfd.readouterr() == ("", "")


def test_doctor_registers_a_model_and_leaves_nothing_behind(
    server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    client = MlflowClient(server, server)

    def everything() -> tuple[list[str], list[str], list[str]]:
        experiments = [
            item.experiment_id
            for item in client.search_experiments(view_type=ViewType.ALL, max_results=1_000)
        ]
        runs = client.search_runs(experiments, run_view_type=ViewType.ALL)
        models = [item.name for item in client.search_registered_models(max_results=1_000)]
        return experiments, [item.info.run_id for item in runs], models

    before = everything()
    settings = Settings.from_mapping({"storage": {"mlflow": server}}, folder=tmp_path, environment={})
    with Patient(settings) as patient:
        (finding,) = check_mlflow(patient)
    assert finding.status is Status.PASS, finding
    assert finding.sentence == f"{server} answers and registers models."
    assert everything() == before
    assert capfd.readouterr() == ("", "")
