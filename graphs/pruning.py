"""Weights, embeddings and layer states that nothing needs any more: found, and removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serm.core.errors import ModelError, WorkspaceError
from serm.graphs.resources import Resources
from serm.relevance_model.registry import PRUNED, ROLE, WEIGHTS, ModelVersion
from serm.storage.rounds import read_rounds

_EVER = ("untrained", "frozen")  # roles that every report compares with
_CHAMPIONS = 2  # the one in use and the one before, which the committee asks


@dataclass(frozen=True, slots=True)
class Prunable:
    """A version that may go: its folder of weights, that of its embeddings, and what they take."""

    version: int
    model_id: str
    folders: tuple[Path, ...]
    bytes: int


def prunable(resources: Resources, keep: int) -> list[Prunable]:
    """Versions whose weights no later round opens, the oldest first; the newest `keep` stay.

    A network that several versions share (a head fitted anew) keeps its embeddings while one of them stays.
    Raises WorkspaceError where the weights are shared with other workspaces, which may need them.
    """
    if resources.workspace.models.is_symlink():
        raise WorkspaceError(
            "the models of this workspace are shared with others (`storage.shared`).",
            "Remove the shared folder when none of them is needed any more.",
        )
    versions = resources.registry.versions()
    needed = _needed(versions, read_rounds(resources.workspace.rounds), keep)
    there = [item for item in versions if resources.models.path(item.model_id).is_dir()]
    shared = {_embeddings(resources, item) for item in there if item.model_id in needed}
    found: list[Prunable] = []
    for item in there:
        if item.model_id not in needed:
            vectors = _embeddings(resources, item)
            own = [vectors] if vectors is not None and vectors not in shared and vectors.is_dir() else []
            folders = (resources.models.path(item.model_id), *own)
            found.append(Prunable(item.version, item.model_id, folders, bytes_of(folders)))
            shared.add(vectors)  # of two that go, one brings what they have in common
    return found


def unused_states(resources: Resources, going: Sequence[Prunable]) -> list[Path]:
    """Folders of layer states that no version uses but those that go: of lower layers that no model has any
    more, of another length limit or precision. None where other workspaces may use them, or where a version
    that stays cannot be opened to say what it uses."""
    states = resources.workspace.states
    if states.is_symlink():
        return []
    gone = {item.model_id for item in going}
    staying = [name for name in _names(resources.workspace.models) if name not in gone]
    try:
        used = {folder.name for name in staying if (folder := resources.models.open(name).states) is not None}
    except ModelError:
        return []
    return [states / name for name in _names(states) if name not in used]


def _names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))


def remove(resources: Resources, item: Prunable) -> None:
    """Tag the version, then remove its folders: a kill leaves a tag and folders that the next call finds."""
    resources.registry.set_tag(item.version, WEIGHTS, PRUNED)
    for folder in reversed(item.folders):  # the weights last: without them the version is not found again
        remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Under another name first: half removed it would look whole."""
    doomed = folder.with_name(f".{folder.name}")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _needed(versions: Sequence[ModelVersion], rounds: Sequence[dict[str, Any]], keep: int) -> set[str]:
    """Models that a later round, or a person who goes back, may open."""
    champions = dict.fromkeys(report["models"]["champion_after"] for report in reversed(rounds))
    promoted = [report for report in rounds if report.get("verdict") == "promoted"]
    before = {report["models"]["champion_before"] for report in promoted[-1:]}  # the committee's `previous`
    named = {item.model_id for item in versions if item.aliases or item.tags.get(ROLE) in _EVER}
    return named | before | set(list(champions)[:_CHAMPIONS]) | {item.model_id for item in versions[-keep:]}


def _embeddings(resources: Resources, version: ModelVersion) -> Path | None:
    """None, too, of a version that cannot be opened: it stands in the way of no other."""
    try:
        return resources.models.open(version.model_id).embeddings
    except ModelError:
        return None


def bytes_of(folders: Iterable[Path]) -> int:
    """What the files in them take."""
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
