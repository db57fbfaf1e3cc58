"""On servers that it shares a workspace has its own name, which moves with the folder and not with a copy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from serm.core import Settings
from serm.core.errors import WorkspaceError
from serm.storage.identity import ID
from serm.storage.workspace import ANNOTATE, MODELS, Workspace

SERVER = {"mlflow": "http://mlflow.example:5000"}


def settings(folder: Path, name: str, storage: dict[str, Any] = SERVER) -> Settings:
    values = {"workspace": name, "data": {"sources": [{"pairs": "pairs.parquet"}]}, "storage": storage}
    return Settings.from_mapping(values, folder=folder, environment={})


def called(stated: Settings) -> str:
    with Workspace.open(stated) as workspace:
        return workspace.registered_as


def test_models_have_their_own_name_on_a_server_and_the_plain_one_in_the_workspaces_own_file(
    tmp_path: Path,
) -> None:
    assert called(settings(tmp_path, "alone", {})) == MODELS
    own = {"mlflow": f"sqlite:///{tmp_path}/stated/mlflow.db"}
    assert called(settings(tmp_path, "stated", own)) == MODELS
    assert not (tmp_path / "alone" / ID).exists()
    names = [called(settings(tmp_path, name)) for name in ("one", "two", "one")]
    assert names[0] == names[2] != names[1]
    assert all(name.startswith(f"{MODELS}-") for name in names)


def test_a_workspace_pays_by_its_name_in_a_database_that_is_not_its_own(tmp_path: Path) -> None:
    given = {"database": "postgresql://user@host/judgments"}
    own = {"database": f"sqlite:///{tmp_path}/stated/judgments.sqlite"}
    payers = []
    for name, storage, part in (
        ("alone", {}, ""),
        ("stated", own, ""),
        ("one", given, ""),
        ("one", given, ANNOTATE),
    ):
        with Workspace.open(settings(tmp_path, name, storage), part) as workspace:
            payers.append(workspace.payer)
    assert payers[:2] == [None, None]
    loop, annotate = payers[2:]
    assert None is not loop != annotate is not None, "a budget for each, as they work at the same time"


def test_the_name_moves_with_the_folder_and_a_copy_gets_another(tmp_path: Path) -> None:
    name = called(settings(tmp_path, "one"))
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    other = called(settings(tmp_path, "copy"))
    assert other != name
    assert called(settings(tmp_path, "one")) == name
    assert called(settings(tmp_path, "copy")) == other
    (tmp_path / "one").rename(tmp_path / "moved")
    for _ in range(2):
        assert called(settings(tmp_path, "moved")) == name


def test_the_same_folder_by_another_path_is_no_copy(tmp_path: Path) -> None:
    name = called(settings(tmp_path, "one"))
    (tmp_path / "mounted").symlink_to(tmp_path / "one", target_is_directory=True)
    assert called(settings(tmp_path, "mounted")) == name


def test_looking_makes_no_name(tmp_path: Path) -> None:
    stated = settings(tmp_path, "one")
    Workspace.open(stated).close()
    assert Workspace.read(stated.workspace_path, stated).registered_as == MODELS
    assert not (stated.workspace_path / ID).exists()
    name = called(stated)
    assert Workspace.read(stated.workspace_path, stated).registered_as == name


def test_a_damaged_name_is_told_and_no_new_one_is_made(tmp_path: Path) -> None:
    stated = settings(tmp_path, "one")
    called(stated)
    (stated.workspace_path / ID).write_text("{", encoding="utf-8")
    with pytest.raises(WorkspaceError, match=r"id\.json is damaged") as raised:
        called(stated)
    assert raised.value.remedy
