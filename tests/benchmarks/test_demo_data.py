"""The demo's data and config, and the shipped config of the marketplace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from serm.benchmarks.demo import prepare_demo
from serm.benchmarks.marketplace.config import demo_settings
from serm.benchmarks.marketplace.gap import gap_table
from serm.benchmarks.marketplace.generate import simulate
from serm.benchmarks.marketplace.settings import MarketplaceSettings
from serm.core import Settings
from serm.storage.ingest import ingest
from serm.storage.workspace import Workspace

pytestmark = pytest.mark.slow  # a whole marketplace is written

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_demo(tmp_path_factory.mktemp("demo") / "here")


def test_the_demo_makes_of_its_data_the_four_sets_and_three_windows(demo: Path) -> None:
    settings, market = Settings.from_yaml(demo, {}), MarketplaceSettings()
    with Workspace.open(settings) as workspace:
        dataset = ingest(settings, workspace)
    assert [window.name for window in dataset.windows] == ["window-1", "window-2", "window-3"]
    assert [window.queries for window in dataset.windows] == [market.queries_per_window] * 3
    assert all(3_000 <= window.pairs <= 4_000 for window in dataset.windows)
    assert [dataset.gate(index)["query_id"].nunique() for index in (-1, 0)] == [
        market.seed_gate,
        market.seed_gate + market.gate_per_window,
    ]
    newest = dataset.gate(2)
    assert (newest.groupby("opens")["query_id"].nunique() >= 30).all()
    assert (dataset.seed_counts.queries, dataset.rejected) == (market.seed_queries, 0)
    assert {test.name: test.queries for test in dataset.tests} == {"static": 120, "last": 120}
    assert dataset.static_test is not None
    assert dataset.last_test is not None
    assert (dataset.static_test.name, dataset.last_test.name) == ("static", "last")
    assert not dataset.left_out


def test_the_demo_keeps_the_data_and_the_config_that_are_there(demo: Path) -> None:
    before = [(path.name, path.stat().st_mtime_ns) for path in sorted(demo.parent.glob("*.*"))]
    assert prepare_demo(demo.parent) == demo
    assert [(path.name, path.stat().st_mtime_ns) for path in sorted(demo.parent.glob("*.*"))] == before


def test_the_shipped_config_is_the_demos() -> None:
    shipped = Settings.from_yaml(CONFIGS / "marketplace.yaml", {})
    made = Settings.from_mapping(demo_settings("../.serm/marketplace"), environment={})
    assert shipped.model_dump() == made.model_dump()
    assert shipped.data.sources[0].label == "marketplace"


def test_the_command_writes_a_marketplace_and_a_config_that_fits_it(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "serm.benchmarks.marketplace", str(tmp_path / "m"), "--preset", "harsh"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert "for 100,000" in run.stdout
    settings = Settings.from_yaml(tmp_path / "m" / "serm.yaml", {})
    pairs = pd.read_parquet(settings.resolve(settings.data.sources[0].pairs))
    assert len(pairs) == 21_000


def test_the_gap_table_shows_each_window_by_old_and_invented_words() -> None:
    simulation = simulate(MarketplaceSettings())
    perfect = gap_table(simulation, simulation.pairs["grade"])
    assert perfect["all"].eq(1).all()
    assert set(zip(perfect["window"], perfect["set"], strict=True)) >= {(0, "seed"), (3, "test")}
    assert perfect.loc[perfect["window"] == 0, "n invented"].eq(0).all()
    assert perfect.loc[perfect["window"] == 3, "n invented"].gt(0).all()
