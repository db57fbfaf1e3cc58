"""Versions that no round needs lose their weights and embeddings; the run goes on as if nothing had been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from small_world import distinct_pairs, world
from typer.testing import CliRunner

from serm.cli.main import app, run
from serm.core import Settings
from serm.core.errors import WorkspaceError
from serm.graphs import evolve
from serm.graphs.pruning import Prunable, _needed, prunable, unused_states
from serm.graphs.resources import Resources

pytestmark = pytest.mark.slow  # whole runs, pruned

WRONG = [{"backend": "simulated:accuracy=0.02,shared=1,seed=3", "name": "wrong"}]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """Two rounds of three, none of them promoted: their judge is wrong."""
    path = tmp_path_factory.mktemp("pruning") / "serm.yaml"
    values = world(path.parent, tiny_encoder, distinct_pairs(), judges=WRONG)
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    evolve(Settings.from_yaml(path, environment={}), rounds=2)
    return path


@pytest.fixture
def settings(config: Path) -> Settings:
    return Settings.from_yaml(config, environment={})


def found_in(settings: Settings, keep: int) -> list[Prunable]:
    with Resources(settings) as resources:
        return prunable(resources, keep)


def test_what_a_round_may_open_stays_and_the_rest_is_found_with_its_size(settings: Settings) -> None:
    assert found_in(settings, keep=2) == []
    (found,) = found_in(settings, keep=1)  # the challenger of round 1: that of round 2 bears an alias
    assert found.version == 3
    assert {folder.parent.name for folder in found.folders} == {"models", "embeddings"}
    assert found.bytes > 10_000


def test_a_version_that_cannot_be_opened_stands_in_the_way_of_no_other(settings: Settings) -> None:
    with Resources(settings) as resources:
        (going,) = prunable(resources, keep=1)
        champion = resources.registry.find().model_id
        file = resources.models.path(champion) / "serm.json"
        before = file.read_bytes()
        file.write_bytes(b"{}")
    try:
        with Resources(settings) as resources:
            assert [item.version for item in prunable(resources, keep=1)] == [going.version]
            assert unused_states(resources, [going]) == [], "it may use them"
    finally:
        file.write_bytes(before)


def test_the_model_before_the_last_promotion_stays_though_a_person_moved_the_alias_since() -> None:
    """The committee opens it until the next promotion."""

    def report(verdict: str, before: str, after: str) -> dict[str, Any]:
        return {"verdict": verdict, "models": {"champion_before": before, "champion_after": after}}

    rounds = [
        {"models": {"champion_after": "frozen"}},
        report("promoted", "frozen", "a"),
        report("promoted", "a", "b"),
        report("promoted", "b", "c"),
        report("rolled_back", "a", "a"),  # by hand back to a, and nothing new since
    ]
    assert _needed([], rounds, keep=1) == {"a", "b", "c"}
    assert _needed([], rounds[:1], keep=1) == {"frozen"}


def test_the_command_says_what_would_go_and_asks(
    config: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = found_in(settings, keep=1)
    assert run(["models", "prune", str(config), "--keep", "1", "--dry-run"]) == 0
    assert "To prune: 1 version" in capsys.readouterr().out
    answer = CliRunner().invoke(app, ["models", "prune", str(config), "--keep", "1"], input="n\n")
    assert answer.exit_code == 1
    assert all(folder.is_dir() for folder in found.folders)


def test_a_pruned_version_is_marked_cannot_be_used_and_the_run_goes_on(
    config: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = found_in(settings, keep=1)
    assert run(["models", "prune", str(config), "--keep", "1", "--yes"]) == 0
    assert "Pruned 1 version" in capsys.readouterr().out
    assert not any(folder.exists() for folder in found.folders)
    assert found_in(settings, keep=1) == []
    assert run(["models", "list", str(config)]) == 0
    assert "weights pruned" in " ".join(capsys.readouterr().out.split())
    assert run(["models", "promote", str(config), str(found.version), "--yes"]) == 7
    assert "were pruned" in capsys.readouterr().err
    result = evolve(settings)
    assert [report["round"] for report in result.rounds] == [0, 1, 2, 3]
    assert result.stop == "the stream has no further window after 3"


def test_weights_that_others_share_are_left_alone(tmp_path: Path, tiny_encoder: Path) -> None:
    given: dict[str, Any] = world(tmp_path, tiny_encoder, storage={"shared": "common"})
    shared = Settings.from_mapping(given, folder=tmp_path, environment={})
    with pytest.raises(WorkspaceError, match="shared with others"):
        found_in(shared, keep=1)


def test_layer_states_that_no_version_uses_go_too(
    config: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "prune", str(config), "--yes"]) == 0
    with Resources(settings) as resources:
        stale = resources.workspace.states / "0123456789abcdef"
    stale.mkdir()
    (stale / "a.npy").write_bytes(b"x" * 1_500_000)
    capsys.readouterr()
    assert run(["models", "prune", str(config), "--yes"]) == 0
    assert "layer states that no version uses: 2 MB" in capsys.readouterr().out
    assert not stale.exists()
    assert run(["models", "prune", str(config), "--yes"]) == 0
    assert "Nothing to prune" in capsys.readouterr().out


def test_layer_states_that_a_version_uses_stay(tmp_path: Path, tiny_encoder: Path) -> None:
    training = world(tmp_path, tiny_encoder)["training"] | {"freeze_layers": 1}
    given = world(tmp_path, tiny_encoder, training=training)
    with Resources(Settings.from_mapping(given, folder=tmp_path, environment={})) as resources:
        model = resources.models.open(resources.models.untrained())
        model.embed_queries(["red lamp"])
        assert model.states is not None
        assert model.states.is_dir()
        assert unused_states(resources, []) == []
        gone = Prunable(1, resources.models.untrained(), (), 0)
        assert unused_states(resources, [gone]) == [model.states]
