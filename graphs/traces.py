"""The spans of a round, for whoever looks at them from Python."""

from __future__ import annotations

from serm.core.settings import Settings
from serm.storage.round_traces import trace_of
from serm.storage.trace import Span, read_spans
from serm.storage.workspace import Workspace


def read_trace(settings: Settings, number: int | None = None) -> list[Span]:
    """All spans of round `number` in the order in which they started; None: of the newest finished round.

    A run may be at work meanwhile. Raises WorkspaceError where there is no workspace or no such round.
    """
    workspace = Workspace.read(settings.workspace_path, settings)
    return read_spans(workspace.traces, trace_of(workspace, number))
