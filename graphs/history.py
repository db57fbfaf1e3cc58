"""A run's history is read, not run again: later rounds rest on what each round left.

Going back to a checkpoint would have the models of now mine, label and judge the past, move the champion's
alias, and write over the reports of the rounds that came after.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
)
from langgraph.checkpoint.sqlite import SqliteSaver

from serm.core.errors import WorkspaceError
from serm.graphs.tracing import Node
from serm.storage.rounds import round_folders

_BRANCHES: Final = ("fork", "update")
"""How LangGraph says that a checkpoint goes on from an earlier one, not from the newest."""
_NEWEST: Final = (
    "SELECT checkpoint_id FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? "
    "ORDER BY rowid DESC LIMIT 1"
)


def require_newest(rounds: Path, number: int) -> None:
    """Raises WorkspaceError where a later round than `number` has a report in `rounds`: the folder says so
    whatever a checkpoint knows. A killed round goes on: it has none before its end, and the next none."""
    done = [int(place.name) for place in round_folders(rounds) if (place / "round.json").is_file()]
    if max(done, default=0) > number:
        raise WorkspaceError(
            f"round {number + 1} was run already: its history can be read, not run again.",
            "`serm evolve` goes on from the newest round. To run it otherwise name another `workspace:`; "
            "with the judgments of this one as its `storage.database` none is paid for twice.",
        )


def newest_alone(rounds: Path, node: Node) -> Node:
    """The same node of the loop, for the newest round alone: raises WorkspaceError as `require_newest`."""

    def run(state: Mapping[str, Any]) -> dict[str, Any]:
        require_newest(rounds, int(state.get("round", 0)))
        return node(state)

    run.__name__ = node.__name__
    return run


class Checkpoints(SqliteSaver):
    """Keeps no branch from a round that is behind: it would be what the run goes on from.

    The newest checkpoint is the one written last. LangGraph takes that of the greatest id, which is a time of
    the wall clock: a clock that was once ahead would make its round the newest for as long.
    """

    def __init__(self, *args: Any, rounds: Path, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rounds = rounds

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        if get_checkpoint_id(config):
            return super().get_tuple(config)
        thread, part = (
            str(config["configurable"]["thread_id"]),
            config["configurable"].get("checkpoint_ns", ""),
        )
        with self.cursor(transaction=False) as cursor:
            newest = cursor.execute(_NEWEST, (thread, part)).fetchone()
        if newest is None:
            return None
        place = {"thread_id": thread, "checkpoint_ns": part, "checkpoint_id": newest[0]}
        return super().get_tuple({"configurable": place})

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        if metadata.get("source") in _BRANCHES:
            require_newest(self._rounds, int(checkpoint["channel_values"].get("round", 0)))
        return super().put(config, checkpoint, metadata, new_versions)
