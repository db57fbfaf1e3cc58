"""Checkpoints whose ids, which are times, do not ascend: a clock was ahead, or a workspace came from one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from langgraph.checkpoint.base import empty_checkpoint

from serm.graphs.history import Checkpoints
from serm.storage.windows_used import CHECKPOINTS, windows_used

AHEAD, RIGHT = "1f1aaaaa-0000-6000-8000-000000000000", "1f0aaaaa-0000-6000-8000-000000000000"


def test_the_newest_checkpoint_is_the_one_written_last(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / CHECKPOINTS, check_same_thread=False)) as connection:
        saver = Checkpoints(connection, rounds=tmp_path / "rounds")
        for part in ("", "mine:1"):
            thread = {"configurable": {"thread_id": "evolution", "checkpoint_ns": part}}
            assert saver.get_tuple(thread) is None
            for name, number in ((AHEAD, 1), (RIGHT, 2)):
                values = {"round": number}
                checkpoint = {**empty_checkpoint(), "id": name, "channel_values": values}
                saver.put(thread, checkpoint, {"source": "loop"}, {})  # type: ignore[typeddict-item]
            newest, old = (
                saver.get_tuple({"configurable": {**thread["configurable"], **of}})
                for of in ({}, {"checkpoint_id": AHEAD})
            )
            assert newest is not None
            assert old is not None
            assert newest.checkpoint["channel_values"] == {"round": 2}
            assert newest.config["configurable"]["checkpoint_id"] == RIGHT
            assert old.checkpoint["channel_values"] == {"round": 1}
    assert windows_used(tmp_path) == 2
