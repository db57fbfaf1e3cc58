from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pytest
import sqlalchemy as sa
from mlflow.tracking import MlflowClient

from serm.core.errors import WorkspaceError
from serm.relevance_model.registry import ModelRegistry


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def registry(database: str, request: pytest.FixtureRequest) -> ModelRegistry:
    return ModelRegistry(database, name=request.node.name)


def test_a_model_is_registered_once_however_often_it_is_asked_for(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    first = registry.register(tmp_path, "abc", {"round": "1"})
    assert registry.register(tmp_path, "abc", {"round": "1"}) == first == 1
    assert registry.register(tmp_path, "def", {}) == 2
    assert [(item.version, item.model_id) for item in registry.versions()] == [(1, "abc"), (2, "def")]
    assert registry.versions()[0].tags["round"] == "1"
    assert registry.version_of("def") == 2
    assert registry.version_of("missing") is None


def test_the_registry_points_to_the_folder_and_copies_no_weights(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    registry.register(tmp_path / "m", "abc", {})
    assert registry.versions()[0].folder == (tmp_path / "m").as_uri()
    assert list((tmp_path / "m").iterdir()) == []


def test_the_uri_of_an_alias_is_the_folder_of_its_weights(
    registry: ModelRegistry, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.set_alias("champion", registry.register(tmp_path, "abc", {}))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    found = mlflow.artifacts.download_artifacts(f"models:/{registry.name}@champion")
    assert Path(found) == tmp_path


def test_an_alias_moves_from_one_version_to_another(registry: ModelRegistry, tmp_path: Path) -> None:
    registry.register(tmp_path, "abc", {})
    registry.register(tmp_path, "def", {})
    assert registry.alias("champion") is None
    registry.set_alias("champion", 1)
    registry.set_alias("champion", 1)
    assert registry.alias("champion") == (1, "abc")
    registry.set_alias("champion", 2)
    assert registry.alias("champion") == (2, "def")
    assert [item.aliases for item in registry.versions()] == [(), ("champion",)]


def test_a_round_is_one_finished_run_however_often_it_is_logged(
    registry: ModelRegistry, database: str
) -> None:
    first = registry.log_round("round-1", {"pairs": 600}, {"ndcg4": 0.5})
    assert registry.log_round("round-1", {"pairs": 600}, {"ndcg4": 0.5}) == first
    run = MlflowClient(database).get_run(first)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"pairs": "600"}
    assert run.data.metrics == {"ndcg4": 0.5}


def test_a_run_that_a_kill_left_open_is_finished_by_the_same_round(
    registry: ModelRegistry, database: str
) -> None:
    client = MlflowClient(database)
    experiment = client.get_experiment_by_name(registry.name)
    assert experiment is not None
    client.create_run(experiment.experiment_id, tags={"serm.key": "round-1"})
    again = registry.log_round("round-1", {"pairs": 600}, {"ndcg4": 0.5})
    assert client.get_run(again).info.status == "FINISHED"
    assert len(client.search_runs([experiment.experiment_id])) == 1


def test_opening_a_registry_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ModelRegistry(f"sqlite:///{tmp_path}/new.db").register(tmp_path, "abc", {})
    assert capfd.readouterr() == ("", "")


def test_a_disk_that_is_full_is_a_sentence_and_not_mlflow_s_error(registry: ModelRegistry) -> None:
    def limit(connection: Any, _: object) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")

    engine = registry._client._tracking_client.store.engine
    engine.dispose()  # new connections get the limit
    sa.event.listen(engine, "connect", limit)
    try:
        with pytest.raises(
            WorkspaceError, match=r"MLflow at .* cannot be used: .*database or disk is full"
        ) as error:
            registry.log_round("round", {"config": "x" * 5_000}, {f"m{n}": 1.0 for n in range(900)})
    finally:
        sa.event.remove(engine, "connect", limit)
        engine.dispose()
    assert "disk is not full" in error.value.remedy


@pytest.mark.parametrize("uri", ["htp://me:s3cret@host/x", "http://me:s3cret@127.0.0.1:9"])
def test_an_mlflow_that_cannot_be_used_is_a_sentence_that_names_it_without_its_login(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    shown = uri.replace("me:s3cret@", "")
    with pytest.raises(WorkspaceError, match=f"MLflow at {shown} cannot be used") as raised:
        ModelRegistry(uri)
    assert raised.value.remedy
    assert "s3cret" not in str(raised.value)


def test_a_round_may_have_more_figures_than_mlflow_takes_at_a_time(
    registry: ModelRegistry, database: str
) -> None:
    figures = {f"test {number}/ndcg": 0.5 for number in range(1_001)}
    run = MlflowClient(database).get_run(registry.log_round("round-1", {"pairs": 600}, figures))
    assert run.data.metrics == figures
