"""The reports of rounds, as they lie in a workspace."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from serm.storage.reading import read_json

_NUMBER: Final = re.compile("[0-9]+")
_REMEDY: Final = (
    "Put a copy of the file back. Without one, move it away: the run goes on, and tables leave the round out."
)


def read_rounds(folder: Path) -> list[dict[str, Any]]:
    """The reports of the finished rounds in a workspace's rounds/, the oldest first.

    Round 0 is what was there before any mining. Raises WorkspaceError where one is damaged.
    """
    paths = [place / "round.json" for place in round_folders(folder)]
    return [read_json(path, _REMEDY) for path in paths if path.exists()]


def round_folders(folder: Path) -> list[Path]:
    """The folders of rounds in a workspace's rounds/, by number: as text 1000 stands before 101. What bears
    another name, as a copy that somebody laid beside one, is none."""
    found = [place for place in folder.glob("*") if _NUMBER.fullmatch(place.name)]
    return sorted(found, key=lambda place: int(place.name))
