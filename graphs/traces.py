"""The spans of a round, for whoever looks at them from Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from serm.core.errors import WorkspaceError
from serm.core.settings import Settings
from serm.storage.round_traces import trace_of
from serm.storage.trace import Span, read_spans
from serm.storage.workspace import ANNOTATE, CONFIG, Workspace


def read_trace(settings: Settings, number: int | None = None, *, trace_id: str = "") -> list[Span]:
    """All spans of round `number` in the order in which they started; None: of the newest finished round.

    Where no loop was run, it is the newest `annotate`, as for `serm trace`. `trace_id` names one, that of a
    round (`round.json`) or of an `annotate` (`Annotation.trace_id`). A run may be at work meanwhile.
    Raises WorkspaceError where there is no workspace or no such round or trace.
    """
    if trace_id:
        return _named(settings, trace_id)
    folder = next(_folders(settings), settings.workspace_path)
    workspace = Workspace.read(folder, settings)
    return read_spans(workspace.traces, trace_of(workspace, number))


def _named(settings: Settings, trace_id: str) -> list[Span]:
    for folder in _folders(settings):
        if spans := read_spans(Workspace.read(folder, settings).traces, trace_id):
            return spans
    raise WorkspaceError(
        f"there is no trace {trace_id} in {settings.workspace_path}.",
        "`trace_id` in a round's report names its trace, and so does that of what `annotate` returns.",
    )


def _folders(settings: Settings) -> Iterator[Path]:
    """The workspace of a loop, and the part of it that `annotate` works in, as far as they are there."""
    whole = settings.workspace_path
    return (folder for folder in (whole, whole / ANNOTATE) if (folder / CONFIG).is_file())
