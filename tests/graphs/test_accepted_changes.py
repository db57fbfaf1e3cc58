"""A run that goes on under another panel, as when a hosted model is retired."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from small_world import world

from serm.core.errors import WorkspaceMismatchError
from serm.core.settings import Settings
from serm.graphs.resources import Resources
from serm.graphs.run import evolve

NEW = [
    {"backend": f"simulated:accuracy=0.9,shared=0.5,seed=4#{name}", "name": name} for name in ("dan", "eve")
]


def test_a_run_goes_on_under_other_judges_and_keeps_what_the_first_ones_said(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    before = Settings.from_mapping(world(tmp_path, tiny_encoder), folder=tmp_path, environment={})
    first = evolve(before, rounds=1)
    changes = {"judges": NEW, "budget": {"pairs_per_round": 30}}
    changed = Settings.from_mapping(world(tmp_path, tiny_encoder, **changes), folder=tmp_path, environment={})
    with pytest.raises(WorkspaceMismatchError, match=r"judges\.0\.backend"):
        evolve(changed, rounds=2)
    result = evolve(changed, rounds=2, accept_changes=True)
    assert result.rounds[:2] == first.rounds
    with Resources(changed) as resources:  # a round keeps the trace that its first half and its money have
        traces = [report["trace_id"] for report in result.rounds[1:]]
        assert [resources.trace_id(number) for number in (1, 2)] == traces
        assert before.fingerprint() != changed.fingerprint()
    said = [
        pd.read_parquet(result.workspace / report["labels"])["votes"].map(
            lambda votes: [name for name, _ in json.loads(votes)]
        )
        for report in result.rounds[1:]
    ]
    assert {name for votes in said[0] for name in votes} == {"ann", "bob", "cid"}
    assert {name for votes in said[1] for name in votes} == {"dan", "eve"}
    assert result.rounds[2]["counts"]["mined"] == 30
    (line,) = (result.workspace / "changes.jsonl").read_text(encoding="utf-8").splitlines()
    assert any("judges.0" in change for change in json.loads(line)["changes"])
