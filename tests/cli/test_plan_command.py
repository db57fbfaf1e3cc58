"""`serm plan` forecasts a round before any judge is asked, and says what its figures come from."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small_world import world

from serm.cli.main import run
from serm.core import Settings
from serm.evals.bootstrap import detectable
from serm.evals.power import measured_spread, queries_for
from serm.graphs.standing import looked_at
from serm.storage.judge_totals import judge_totals

CHAT = "http://127.0.0.1:9/v1#big"  # nobody listens: a plan asks nothing


@pytest.fixture
def config(tmp_path: Path, tiny_encoder: Path) -> Path:
    sections = {
        "judges": [{"backend": CHAT, "name": "big"}, "simulated:accuracy=0.9,shared=0.5,seed=3"],
        "agreement": {"paths": 3},
        "llm": {"prices": {"big": {"input": 10, "output": 20}}, "requests_per_minute": 60},
    }
    path = tmp_path / "serm.yaml"
    path.write_text(yaml.safe_dump(world(tmp_path, tiny_encoder, **sections)), encoding="utf-8")
    return path


def test_calls_tokens_cost_and_time_are_forecast_of_the_judges_that_are_called(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", str(config), "--window", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["round"], told["window"], told["pairs"]) == (1, "m2", 40)
    big, simulated = told["judges"]
    assert (big["calls"], big["calls_most"]) == (40, 120)
    assert big["tokens_in"] > 120 * 64
    assert big["cost"] == pytest.approx((10 * big["tokens_in"] + 20 * big["tokens_out"]) / 1e6)
    assert told["cost"] == pytest.approx(big["cost"])
    assert big["seconds"] == pytest.approx(120)  # the rate limit is slower than the calls
    assert (simulated["calls"], simulated["seconds"]) == (0, None)
    assert [item["margin"] for item in told["gate"]] == [0.005, 0.01, 0.02, 0.03]
    needed = [item["queries"] for item in told["gate"]]
    assert needed == sorted(needed, reverse=True)
    assert not (config.parent / "workspace").exists()


def test_what_the_panel_grades_for_the_gate_is_in_the_forecast(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = yaml.safe_load(config.read_text(encoding="utf-8"))
    config.write_text(yaml.safe_dump(text | {"gate": {"judged_share": 0.4}}), encoding="utf-8")
    first, second = (_forecast(config, window, capsys) for window in ("1", "2"))
    for told in (first, second):
        assert told["gate_pairs"] > 0
        assert told["judges"][0]["pairs"] == told["pairs"] + told["gate_pairs"]
    with looked_at(Settings.from_yaml(config)) as resources:
        opened = len(resources.human_graded(2)) + len(resources.judged_only(2))
    assert first["gate_pairs"] + second["gate_pairs"] == opened  # none is counted twice


def _forecast(config: Path, window: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(["plan", str(config), "--window", window, "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_the_printed_plan_names_the_budget_the_margin_and_where_figures_come_from(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", str(config), "--margin", "0.05"]) == 0
    told = capsys.readouterr().out
    assert "40 to 120" in told
    assert "<- gate.margin" in told
    assert "margin 0.050" in told
    assert "assumed" in told


def test_so_many_queries_are_as_many_as_make_the_change_detectable() -> None:
    needed = queries_for(0.01, 0.1, 0.9)
    pattern = np.resize([1.0, -1.0], needed)
    assert detectable(0.1 * pattern / pattern.std(ddof=1), 0.9) <= 0.01 + 1e-6
    fewer = np.resize([1.0, -1.0], needed - 20)
    assert detectable(0.1 * fewer / fewer.std(ddof=1), 0.9) > 0.01


def test_the_spread_of_a_gate_is_read_back_from_what_it_could_detect() -> None:
    changes = np.random.default_rng(0).normal(0, 0.07, 80)
    assert measured_spread(80, detectable(changes, 0.9), 0.9) == pytest.approx(changes.std(ddof=1))
    assert measured_spread(1, math.inf, 0.9) is None
    assert measured_spread(40, 0.0, 0.9) is None


def test_a_workspace_without_judgments_has_no_totals(tmp_path: Path) -> None:
    assert judge_totals(f"sqlite:///{tmp_path / 'judgments.sqlite'}") == {}
