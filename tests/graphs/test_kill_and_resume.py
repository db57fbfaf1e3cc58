"""kill -9 at random moments, and the same command again: the same end as without."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from small_world import registry_of, world

from serm.core import Settings
from serm.graphs.run import evolve
from serm.storage.judgments import JudgmentStore
from serm.storage.rounds import read_rounds

KILLS = 6


def settings_in(folder: Path, encoder: Path) -> Settings:
    config = world(folder, encoder, evolution={"rounds": 2}, gate={"enabled": False})  # so each promotes
    return Settings.from_mapping(config, folder=folder, environment={})


def run_and_tell(folder: Path, encoder: Path, events: Connection) -> None:
    """What the killed process does: the loop, with every event sent to the parent."""
    evolve(settings_in(folder, encoder), on_event=lambda event: events.send(event.step))
    events.send("the end")


def run_and_kill(folder: Path, encoder: Path, rng: np.random.Generator, patience: int) -> bool:
    """Start the loop in a process of its own and kill it some events later; True where it ended first."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=run_and_tell, args=(folder, encoder, theirs))
    process.start()
    theirs.close()
    try:
        for _ in range(patience):
            if ours.recv() == "the end":
                process.join()
                return True
    except EOFError:  # it died by itself: let the test see its exit code
        process.join()
        raise AssertionError(f"the loop ended with exit code {process.exitcode}") from None
    time.sleep(rng.uniform(0, 0.3))
    process.kill()
    process.join()
    return False


def final_state(settings: Settings) -> dict[str, Any]:
    folder = settings.workspace_path
    uri = str(settings.storage.mlflow)
    registry = registry_of(settings)
    reports = read_rounds(folder / "rounds")
    mlflow.set_tracking_uri(uri)
    experiment = mlflow.get_experiment_by_name(registry.name)
    assert experiment is not None
    with JudgmentStore(f"sqlite:///{folder / 'judgments.sqlite'}") as store:
        lost = store.lost_calls()
    return {
        "labels": [report["labels"] for report in reports[1:]],
        "snapshots": [report["snapshot"] for report in reports[1:]],
        "decisions": [report["decision"] for report in reports[1:]],
        "measures": [report["evaluations"] for report in reports],
        "versions": [(item.version, item.model_id, item.aliases) for item in registry.versions()],
        "runs": sorted(run.info.status for run in registry._client.search_runs([experiment.experiment_id])),
        "traces": len(mlflow.search_traces(locations=[experiment.experiment_id], return_type="list")),
        "lost calls": lost,
    }


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_killed_run_ends_as_one_that_was_never_killed(tmp_path: Path, tiny_encoder: Path) -> None:
    multiprocessing.get_context("forkserver").set_forkserver_preload(["serm.graphs.run"])
    rng = np.random.default_rng(11)
    calm, hurt = (settings_in(tmp_path / name, tiny_encoder) for name in ("calm", "hurt"))
    evolve(calm)

    kills = 0
    while kills < KILLS and not run_and_kill(tmp_path / "hurt", tiny_encoder, rng, int(rng.integers(2, 14))):
        kills += 1
    evolve(hurt)

    assert kills >= 3
    assert final_state(hurt) == final_state(calm)
    assert final_state(calm)["traces"] == 2
