"""Which windows of a workspace rounds have used: what they used may not change under them any more."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from serm.storage.artifacts import sqlite_errors
from serm.storage.rounds import round_folders

CHECKPOINTS: Final = "checkpoints.sqlite"

# The one written last: ids go by the wall clock, which may have been ahead.
_LATEST: Final = (
    "SELECT type, checkpoint FROM checkpoints WHERE checkpoint_ns = '' ORDER BY rowid DESC LIMIT 1"
)


def windows_used(workspace: Path) -> int | None:
    """How many windows, from the first, rounds have begun to use; None where not even round 0 has begun.

    Round `n` uses window `n`, counted from 1. A round leaves a folder in rounds/ once it has labels. One that
    was killed before that stands in the checkpoints alone, and goes on from there.
    Raises StorageError where the checkpoints cannot be read.
    """
    begun = [int(folder.name) for folder in round_folders(workspace / "rounds")]
    under_way = _round_under_way(workspace / CHECKPOINTS)
    return max([*begun, *([] if under_way is None else [under_way])], default=None)


def _round_under_way(checkpoints: Path) -> int | None:
    """The round that the latest checkpoint is of, finished or not; None where there is none. Writes nothing:
    `serm doctor` asks while a run may be at work."""
    if not checkpoints.is_file():
        return None
    with (
        sqlite_errors(checkpoints),
        closing(sqlite3.connect(f"{checkpoints.resolve().as_uri()}?mode=ro", uri=True)) as database,
    ):
        # A run opens the file before it has made a table in it.
        made = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'checkpoints'").fetchone()
        latest = database.execute(_LATEST).fetchone() if made else None
    if latest is None:
        return None
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer  # takes a while, and is seldom needed

    kept = JsonPlusSerializer(allowed_msgpack_modules=()).loads_typed(latest)
    number = kept["channel_values"].get("round")
    return None if number is None else int(number)
