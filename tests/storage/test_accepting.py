"""A workspace goes on under a changed config where a person says so, as far as it can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_workspace import bound, settings

from serm.core.errors import WorkspaceLockedError, WorkspaceMismatchError
from serm.storage.workspace import Workspace


def test_a_workspace_goes_on_under_other_judges_where_a_person_says_so(tmp_path: Path) -> None:
    bound(settings(tmp_path, judges=["http://me:s3cret@old/v1#qwen"]))
    changed = settings(tmp_path, judges=["http://new/v1#qwen", "openai:b"], gate={"margin": 0.02})
    with pytest.raises(WorkspaceMismatchError, match="`serm evolve --accept-changes`"):
        Workspace.open(changed)
    changes = Workspace.accept(changed)
    assert 'judges.0.backend: "http://old/v1#qwen", now "http://new/v1#qwen"' in changes
    assert "gate.margin: 0.01, now 0.02" in changes
    assert any(line.startswith("judges.1.backend: not set, now") for line in changes)
    Workspace.open(changed).close()
    assert Workspace.accept(changed) == []
    (line,) = (tmp_path / "work" / "changes.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["changes"] == changes
    assert "s3cret" not in line


@pytest.mark.parametrize(
    "values", [{"random_seed": 8}, {"model": {"base": "other"}}, {"data": {"sources": [{"pairs": "o.csv"}]}}]
)
def test_what_decides_which_pairs_there_are_is_never_accepted(
    tmp_path: Path, values: dict[str, object]
) -> None:
    bound(settings(tmp_path))
    changed = settings(tmp_path, **values)
    with pytest.raises(WorkspaceMismatchError) as refused:
        Workspace.open(changed)
    assert "--accept-changes" not in refused.value.remedy
    with pytest.raises(WorkspaceMismatchError, match="cannot go on with another"):
        Workspace.accept(changed)
    Workspace.open(settings(tmp_path)).close()


def test_a_workspace_begins_to_hold_its_open_window_back(tmp_path: Path) -> None:
    data: dict[str, object] = {"sources": [{"pairs": "pairs.parquet"}]}
    bound(settings(tmp_path, data=data))
    held = settings(tmp_path, data={**data, "windows": {"by": "time", "open": "hold"}})
    with pytest.raises(WorkspaceMismatchError, match="cannot go on with another"):
        Workspace.accept(held)  # `by` is another cut of the windows
    bound_by_time = tmp_path / "timed"
    bound(settings(bound_by_time, data={**data, "windows": {"by": "time"}}))
    held = settings(bound_by_time, data={**data, "windows": {"by": "time", "open": "hold"}})
    changes = Workspace.accept(held)
    assert changes == ['data.windows.open: "use", now "hold"']


def test_a_round_that_is_under_way_goes_on_under_other_judges_alone(tmp_path: Path) -> None:
    bound(settings(tmp_path))
    (tmp_path / "work" / "rounds" / "001").mkdir(parents=True)
    for changes in ({"gate": {"margin": 0.02}}, {"agents": {"policy": "rules"}}):
        with pytest.raises(WorkspaceMismatchError, match=r"a round of .* is under way"):
            Workspace.accept(settings(tmp_path, **changes))
    judged = settings(tmp_path, judges=["openai:b"], budget={"pairs_per_round": 30})
    assert len(Workspace.accept(judged)) > 1
    report = {"round": 1}
    (tmp_path / "work" / "rounds" / "001" / "round.json").write_text(json.dumps(report), encoding="utf-8")
    changed = settings(tmp_path, judges=["openai:b"], budget={"pairs_per_round": 30}, gate={"margin": 0.02})
    assert Workspace.accept(changed) == ["gate.margin: 0.01, now 0.02"]


def test_what_shapes_the_data_is_not_accepted_though_its_section_is(tmp_path: Path) -> None:
    bound(settings(tmp_path))
    with pytest.raises(WorkspaceMismatchError, match=r"another gate\.judged_share"):
        Workspace.accept(settings(tmp_path, gate={"judged_share": 0.2}))


def test_a_workspace_that_has_not_begun_is_free_and_has_nothing_to_accept(tmp_path: Path) -> None:
    Workspace.open(settings(tmp_path)).close()
    assert Workspace.accept(settings(tmp_path, random_seed=8)) == []
    Workspace.open(settings(tmp_path, random_seed=8)).close()


def test_changes_are_not_accepted_while_a_process_works_there(tmp_path: Path) -> None:
    bound(settings(tmp_path))
    changed = settings(tmp_path, judges=["openai:b"])
    with Workspace.open(settings(tmp_path)), pytest.raises(WorkspaceLockedError):
        Workspace.accept(changed)
    assert Workspace.accept(settings(tmp_path / "nowhere")) == []
