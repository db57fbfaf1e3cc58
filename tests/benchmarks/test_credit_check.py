"""Training without an agent's labels, beside the credit of a real round of a small world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_world import world

from serm.benchmarks.mining.credit_check import check, told
from serm.benchmarks.run_record import made_from, read_settings
from serm.benchmarks.runs import DONE
from serm.core import Settings
from serm.core.errors import ConfigError, StorageError
from serm.graphs import evolve
from serm.graphs.resources import Resources
from serm.storage.artifacts import write_json
from serm.storage.workspace import Workspace


def test_every_agent_is_left_out_once_and_nothing_is_written(tmp_path: Path, tiny_encoder: Path) -> None:
    config = world(tmp_path, tiny_encoder, evolution={"rounds": 1})
    settings = Settings.from_mapping(config, folder=tmp_path, environment={})
    report = evolve(settings).rounds[1]
    models = set((settings.workspace_path / "models").iterdir())
    with Resources(settings) as resources:
        found = check(resources, 1, seeds=1)
        with pytest.raises(ConfigError, match="no credit"):
            check(resources, 0, seeds=1)
    assert models == set((settings.workspace_path / "models").iterdir())
    assert {item.agent for item in found} <= set(report["credit"])
    assert sum(item.labels for item in found) == report["counts"]["trained_on"]["new"]
    assert all(item.loss.shape == (1,) and np.isfinite(item.loss).all() for item in found)
    assert any(item.loss[0] != 0 for item in found)
    assert "signs agree" in told(found, 1)


def test_what_a_benchmark_recorded_of_a_run_opens_its_workspace(tmp_path: Path, tiny_encoder: Path) -> None:
    settings = Settings.from_mapping(world(tmp_path, tiny_encoder), folder=tmp_path, environment={})
    with Workspace.open(settings):
        pass
    elsewhere = tmp_path / "runs" / DONE  # relative paths start from the config's folder and not from its own
    write_json(elsewhere, made_from(settings))
    again = read_settings(elsewhere)
    assert (again, again.folder) == (settings, tmp_path)
    with Workspace.open(again) as workspace:
        assert workspace.folder == settings.workspace_path


def test_a_record_of_a_version_that_kept_no_settings_is_told_so(tmp_path: Path) -> None:
    write_json(tmp_path / DONE, {"stop": "done"})
    with pytest.raises(StorageError, match="does not say by which settings"):
        read_settings(tmp_path / DONE)
