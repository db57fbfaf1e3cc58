"""Models that lie in a folder: where it is, and what names its weights."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from serm.core.hashing import HASH_LENGTH

_PEEK: Final = 1 << 20
"""Bytes read at either end of a file: some models would take minutes to read whole (chosen)."""


def located(model: str, folder: Path) -> str:
    """Where a model is to be loaded from: a folder, whose relative path starts at `folder`, or a hub."""
    there = (folder / Path(model).expanduser()).resolve()
    return str(there) if there.is_dir() else model


def weights_revision(location: str) -> str:
    """What names a folder's weights: a hash of its files' names, sizes and ends, another one after training.

    "" for a hub's model: its name and `revision` are all that is known of it.
    """
    folder = Path(location)
    if not folder.is_dir():
        return ""
    state = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = file.stat().st_size
        state.update(f"{file.relative_to(folder).as_posix()}\0{size}\0".encode())
        with file.open("rb") as opened:
            state.update(opened.read(_PEEK))
            if size > _PEEK:
                opened.seek(-min(_PEEK, size - _PEEK), os.SEEK_END)
                state.update(opened.read())
    return state.hexdigest()[:HASH_LENGTH]
