"""A run's history is there to be read. To run a part of it again is refused before anything is changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from small_world import registry_of, world

from serm.core import Settings
from serm.core.errors import WorkspaceError
from serm.graphs import evolve, open_supervisor_graph, run_config
from serm.relevance_model.registry import CHAMPION


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Settings:
    """Of a workspace with two rounds."""
    folder = tmp_path_factory.mktemp("history")
    config = world(folder, tiny_encoder, evolution={"rounds": 2})
    found = Settings.from_mapping(config, folder=folder, environment={})
    assert len(evolve(found).rounds) == 3
    return found


def left(settings: Settings) -> tuple[Any, ...]:
    """What a run has left: reports, the model in use, where the graph stands."""
    reports = sorted((settings.workspace_path / "rounds").glob("*/round.json"))
    with open_supervisor_graph(settings) as graph:
        state = graph.get_state(run_config(settings))
    champion = registry_of(settings).alias(CHAMPION)
    return [json.loads(path.read_text()) for path in reports], champion, state.config, state.values


@pytest.mark.parametrize(
    ("step", "number"), [("open_window", 1), ("open_window", 0), ("train", 1), ("promote", 1), ("prepare", 0)]
)
def test_going_back_to_a_checkpoint_is_refused_and_changes_nothing(
    settings: Settings, step: str, number: int
) -> None:
    step = "roll_back" if step == "promote" and not _promoted(settings) else step
    before = left(settings)
    with open_supervisor_graph(settings) as graph:
        old = next(
            item
            for item in graph.get_state_history(run_config(settings))
            if item.next == (step,) and item.values.get("round", 0) == number
        )
        config = {**run_config(settings), "configurable": old.config["configurable"]}
        with pytest.raises(WorkspaceError, match=r"was run already: .* `serm evolve` goes on"):
            graph.invoke(None, config)
        with pytest.raises(WorkspaceError, match="was run already"):
            graph.update_state(old.config, {"rollbacks": 0}, as_node="close")
    assert left(settings) == before
    assert evolve(settings).ended


def _promoted(settings: Settings) -> bool:
    report = settings.workspace_path / "rounds" / "001" / "round.json"
    return bool(json.loads(report.read_text())["verdict"] == "promoted")


def test_without_its_checkpoints_a_run_is_not_run_over_its_reports(
    settings: Settings, tmp_path: Path
) -> None:
    copied = settings.changed(workspace=str(tmp_path / "copy"))
    shutil.copytree(settings.workspace_path, copied.workspace_path)
    for path in copied.workspace_path.glob("checkpoints.sqlite*"):
        path.unlink()
    with pytest.raises(WorkspaceError, match="round 1 was run already"):
        evolve(copied)
