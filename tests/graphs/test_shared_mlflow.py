"""Two workspaces on one MLflow server: neither takes the other's champion, and none is left without one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import mlflow
import pytest
from small_world import MLFLOW, registry_of, world

from serm.core import Settings
from serm.graphs import evolve
from serm.graphs.resources import Resources
from serm.relevance_model.registry import ModelRegistry
from serm.storage.identity import ID

JUDGES = [{"backend": "model:champion"}]  # it grades by the alias, and has no place to ask but the registry


def settings_in(folder: Path, encoder: Path, server: Path, **sections: Any) -> Settings:
    """A run whose every challenger becomes champion."""
    values = {"judges": JUDGES, "gate": {"enabled": False}, "storage": {"mlflow": f"sqlite:///{server}"}}
    return Settings.from_mapping(world(folder, encoder, **values | sections), folder=folder, environment={})


@pytest.fixture
def server(tmp_path: Path, tiny_encoder: Path) -> Path:
    return Path(shutil.copyfile(tiny_encoder.parent / MLFLOW, tmp_path / MLFLOW))


@pytest.mark.slow
def test_each_goes_on_with_its_own_champion(tmp_path: Path, tiny_encoder: Path, server: Path) -> None:
    one = settings_in(tmp_path / "one", tiny_encoder, server)
    two = settings_in(tmp_path / "two", tiny_encoder, server, random_seed=6)
    first = evolve(one, rounds=1)
    other = evolve(two, rounds=1)
    assert first.champion != other.champion
    second = evolve(one, rounds=2).rounds[2]["models"]
    assert second["champion_before"] == first.champion
    assert [item.version for item in registry_of(one).versions()] == [1, 2, 3, 4]
    assert [item.version for item in registry_of(two).versions()] == [1, 2, 3]
    mlflow.set_tracking_uri(f"sqlite:///{server}")
    for settings, rounds in ((one, 2), (two, 1)):
        experiment = mlflow.get_experiment_by_name(registry_of(settings).name)
        assert experiment is not None
        traces = mlflow.search_traces(locations=[experiment.experiment_id], return_type="list")
        assert len(traces) == rounds


@pytest.mark.slow
def test_a_workspace_of_an_earlier_version_registers_its_models_under_its_own_name(
    tmp_path: Path, tiny_encoder: Path, server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path / "one", tiny_encoder, server)
    with monkeypatch.context() as earlier:
        earlier.setattr("serm.storage.workspace.Workspace.registered_as", "serm-relevance")
        before = evolve(settings, rounds=1)
    assert not (settings.workspace_path / ID).exists()
    plain = ModelRegistry(f"sqlite:///{server}")
    stranger = plain.register(tmp_path, "another run's", {})
    plain.set_alias("champion", stranger)

    with Resources(settings) as resources:  # as of a round that a kill had cut off before
        assert resources.registry.versions() == []
        assert resources.own_model(2).key == before.champion
    report = evolve(settings, rounds=2).rounds[2]
    assert report["models"]["champion_before"] == before.champion
    ours = registry_of(settings)
    assert ours.name != plain.name
    assert [item.model_id for item in ours.versions()[:3]] == [item.model_id for item in plain.versions()[:3]]
    assert [item.tags["serm.role"] for item in ours.versions()] == [
        "untrained",
        "frozen",
        "challenger",
        "challenger",
    ]
    assert ours.alias("champion") == (4, report["models"]["champion_after"])
    assert plain.alias("champion") == (stranger, "another run's")
