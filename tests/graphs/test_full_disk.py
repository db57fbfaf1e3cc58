"""A disk that is full where the graph keeps its checkpoints, or has them locked: a sentence and a remedy."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from small_world import world

from serm.core import Settings
from serm.core.errors import StorageError
from serm.graphs import evolve
from serm.storage.workspace import Workspace

CHECKPOINTS = "checkpoints.sqlite"


@pytest.fixture
def settings(tmp_path: Path, tiny_encoder: Path) -> Settings:
    return Settings.from_mapping(world(tmp_path, tiny_encoder), folder=tmp_path, environment={})


@pytest.mark.parametrize("pages", [2, 7])  # for no table, for no checkpoint
def test_a_disk_without_room_for_a_checkpoint_is_a_storage_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    connect = sqlite3.connect

    def limited(database: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(database, **options)
        if str(database).endswith(CHECKPOINTS):
            connection.execute(f"PRAGMA max_page_count={pages}")
        return connection

    monkeypatch.setattr(sqlite3, "connect", limited)
    with pytest.raises(StorageError, match=rf"{CHECKPOINTS} cannot be used: the disk is full") as error:
        evolve(settings)
    assert "run the same command again" in error.value.remedy


def test_checkpoints_that_another_program_holds_are_a_storage_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda file, **more: connect(file, **more | {"timeout": 0.1}))
    Workspace.open(settings).close()
    with closing(connect(settings.workspace_path / CHECKPOINTS)) as other:
        other.execute("CREATE TABLE held (id INTEGER)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match="another program holds it locked"):
            evolve(settings)
