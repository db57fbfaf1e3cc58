"""Which trace a round of a workspace has, finished or not."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from serm.core.errors import WorkspaceError
from serm.storage.artifacts import storage_errors
from serm.storage.rounds import read_rounds
from serm.storage.workspace import Workspace


def trace_of(workspace: Workspace, number: int | None) -> str:
    """The trace of round `number`, finished or not; None: of the newest finished one, else of the newest.

    Raises WorkspaceError that names the rounds there are.
    """
    finished = {int(report["round"]): str(report["trace_id"]) for report in read_rounds(workspace.rounds)}
    begun = begun_traces(workspace)
    mined = [key for key in finished if key > 0] or [key for key in begun if key > 0] or [0]
    wanted = max(mined) if number is None else number
    found = finished.get(wanted) or begun.get(wanted)
    if not found:
        there = ", ".join(map(str, sorted(finished | begun))) or "none"
        raise WorkspaceError(
            f"round {wanted} has no trace in {workspace.folder}.", f"The rounds that were run: {there}."
        )
    return found


def begun_traces(workspace: Workspace) -> dict[int, str]:
    """By round that left spans its trace: the state that a node read names its round."""
    database = workspace.traces
    if not database.is_file():
        return {}
    with storage_errors(database), closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT json_extract(inputs, '$.round'), trace_id FROM spans WHERE kind = 'node' ORDER BY started"
        ).fetchall()
    return {int(number): str(trace_id) for number, trace_id in rows if number is not None}
