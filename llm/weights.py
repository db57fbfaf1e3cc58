"""What names a model that lies in a folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from serm.core.hashing import HASH_LENGTH

_PEEK: Final = 1 << 20
"""Bytes read at either end of a file: some models would take minutes to read whole (chosen)."""


def weights_revision(folder: Path) -> str:
    """Hash of the names, the sizes and the ends of a folder's files: another one after any training."""
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
