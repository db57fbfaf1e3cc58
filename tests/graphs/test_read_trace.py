"""`read_trace` finds what `annotate` did, too: by itself where no loop was run, else by its trace."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_world import make_pairs

from serm.core import Settings
from serm.core.errors import WorkspaceError
from serm.graphs import annotate, read_trace
from serm.storage.workspace import Workspace


def test_the_trace_of_an_annotation(tmp_path: Path) -> None:
    judges = [{"backend": "simulated:accuracy=0.85,seed=3", "name": name} for name in "ab"]
    settings = Settings.from_mapping({"judges": judges}, folder=tmp_path, environment={})
    with pytest.raises(WorkspaceError, match="no workspace"):
        read_trace(settings)
    with pytest.raises(WorkspaceError, match=r"no trace abc .* `trace_id` in a round's report"):
        read_trace(settings, trace_id="abc")
    found = annotate(make_pairs(queries_per_month=1), settings)
    spans = read_trace(settings)
    assert {span.trace_id for span in spans} == {found.trace_id}
    assert {"annotate", "vote", "judge a", "judge b"} <= {span.name for span in spans}
    with pytest.raises(WorkspaceError, match="round 2 has no trace"):
        read_trace(settings, 2)
    Workspace.open(settings).close()  # a loop comes to the same workspace
    assert read_trace(settings, trace_id=found.trace_id) == spans
