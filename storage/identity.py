"""What tells a workspace from others on a server that they share: a name made once, kept in its folder.

It moves with the folder. A copy whose original still lies where it lay gets a name of its own, as two that
bear one name would take each other's models and money for their own.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, Final

from serm.core.errors import WorkspaceError
from serm.core.hashing import HASH_LENGTH
from serm.storage.artifacts import write_json

ID: Final = "id.json"


def workspace_id(folder: Path) -> str:
    """The name of the workspace in `folder`, which the caller has locked; made where it has none yet."""
    here, found = folder.resolve(), _read(folder)
    if found is not None and (found["folder"] == str(here) or not _is_copy(here, found)):
        name = str(found["id"])
    else:
        name = uuid.uuid4().hex[:HASH_LENGTH]
    wanted = {"id": name, "folder": str(here)}
    if found != wanted:
        write_json(folder / ID, wanted)
    return name


def recorded_id(folder: Path) -> str | None:
    """The name that is there, for who may write nothing; None: it has none yet."""
    found = _read(folder)
    return None if found is None else str(found["id"])


def _is_copy(here: Path, found: dict[str, Any]) -> bool:
    """Whether the folder that the name was made for still bears it, and is not this one by another path."""
    original = Path(found["folder"])
    try:
        return recorded_id(original) == found["id"] and not original.samefile(here)
    except (OSError, WorkspaceError):
        return False


def _read(folder: Path) -> dict[str, Any] | None:
    file = folder / ID
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {"id": found["id"], "folder": found["folder"]}
    except (ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(
            f"{file} is damaged: {error}.",
            "Restore it; without it the workspace is a new one to a server that it shares.",
        ) from error
