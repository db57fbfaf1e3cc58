"""The model in use is lost: what the error says to do is a way on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from small_world import registry_of, world

from serm.core import Settings
from serm.core.errors import ModelError
from serm.graphs import evolve
from serm.relevance_model.description import FILE
from serm.relevance_model.exporting import export_model
from serm.relevance_model.registry import CHAMPION


@pytest.fixture
def settings(tmp_path: Path, tiny_encoder: Path) -> Settings:
    config = world(tmp_path, tiny_encoder, gate={"enabled": False})  # so each round promotes
    return Settings.from_mapping(config, folder=tmp_path, environment={})


def test_a_champion_that_is_lost_is_put_back_from_an_export(settings: Settings, tmp_path: Path) -> None:
    champion = evolve(settings, rounds=1).champion
    folder = settings.workspace_path / "models" / champion
    export_model(folder, tmp_path / "export")
    os.truncate(folder / FILE, 0)
    with pytest.raises(ModelError, match=str(folder)) as raised:
        evolve(settings, rounds=2)
    assert "Put the folder back from a copy (one of `serm models export` will do)" in raised.value.remedy
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "export", folder)
    report = evolve(settings, rounds=2).rounds[2]
    assert report["models"]["champion_before"] == champion


def test_a_champion_that_is_lost_between_rounds_has_another_version_in_its_place(settings: Settings) -> None:
    first = evolve(settings, rounds=1)
    models = first.rounds[1]["models"]
    shutil.rmtree(settings.workspace_path / "models" / first.champion)
    with pytest.raises(ModelError, match=first.champion):  # no round has begun by it
        evolve(settings, rounds=2)
    registry = registry_of(settings)
    version = registry.version_of(models["frozen"])
    assert version is not None
    registry.set_alias(CHAMPION, version)
    assert evolve(settings, rounds=2).rounds[2]["models"]["champion_before"] == models["frozen"]
