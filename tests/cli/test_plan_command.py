"""`serm plan` forecasts a round before any judge is asked, and says what its figures come from."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small_world import make_pairs, world

from serm.agents.calibration import choose_gold
from serm.agents.prompt import read_prompt
from serm.cli.format import money
from serm.cli.main import run
from serm.core import Failure, FailureKind, Judgment, Settings
from serm.core.columns import KEY
from serm.core.records import PairKey
from serm.evals.bootstrap import detectable
from serm.evals.power import measured_spread, queries_for
from serm.graphs.gate_panel import panel_pairs
from serm.graphs.resources import Resources
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
    _change(config, gate={"judged_share": 0.4, "judged_least": 10})
    first, second = (_forecast(config, window, capsys) for window in ("2", "3"))
    assert first["gate_pairs"] == 0, "people have graded 8 queries of the windows so far, fewer than ten"
    for told in (first, second):
        assert told["judges"][0]["pairs"] == told["pairs"] + told["gate_pairs"]
    with looked_at(Settings.from_yaml(config)) as resources:
        opened = len(panel_pairs(resources, 3))
        assert opened >= len(resources.human_graded(3)) + len(resources.dataset.judged_only(2))
    assert second["gate_pairs"] == opened
    _change(config, gate={"judged_share": 0.4, "judged_least": 500})
    assert _forecast(config, "3", capsys)["gate_pairs"] == 0, "its grades would not count"


def _forecast(config: Path, window: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(["plan", str(config), "--window", window, "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def _change(config: Path, **sections: Any) -> None:
    text = yaml.safe_load(config.read_text(encoding="utf-8"))
    config.write_text(yaml.safe_dump(text | sections), encoding="utf-8")


def test_what_the_panel_is_weighed_on_is_in_the_forecast_less_what_it_has_graded(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _change(config, agreement={"rule": "reliability", "paths": 3, "calibration": 12})
    told = _forecast(config, "2", capsys)
    big = told["judges"][0]
    assert (told["gold_pairs"], big["pairs"], big["calls_most"]) == (12, 52, 156)
    settings = Settings.from_yaml(config)
    with Resources(settings) as resources:
        gold = choose_gold(resources.human_graded(2), 12, settings.random_seed)
        keys = [PairKey(*key) for key in gold[list(KEY)].itertuples(index=False, name=None)]
        resources.judgments.put([_judged(key, "big", 1) for key in keys[:4]])
        resources.judgments.put([_judged(keys[4], "big", None), _judged(keys[5], "another", 1)])
    assert _forecast(config, "2", capsys)["judges"][0]["pairs"] == 52 - 4, "a failure is asked again"


def _judged(key: PairKey, judge: str, grade: int | None) -> Judgment:
    return Judgment(
        *key,
        judge=judge,
        grade=grade,
        failure=Failure(FailureKind.TIMEOUT) if grade is None else None,
        distribution=None,
        paths=(grade,),
        rationale="",
        tokens_in=100,
        tokens_out=10,
        cost=0.0,
        latency=1.0,
        requests=1,
        prompt_hash=read_prompt("umbrela").hash,
        model="big",
        revision="",
        simulated=False,
        cache_key=f"{judge}-{'-'.join(key)}",
    )


def test_a_judge_without_a_price_makes_the_cost_unknown(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _change(config, judges=["openai:dear", {"backend": CHAT, "name": "big"}, "ollama:free"])
    told = _forecast(config, "1", capsys)
    assert (told["cost"], told["unpriced"]) == (None, ["dear"])
    assert [judge["cost"] for judge in told["judges"]] == [None, told["priced"], 0.0]
    assert run(["plan", str(config), "--window", "1"]) == 0
    shown = capsys.readouterr().out
    assert "Cost unknown: no price is stated for dear. State it under `llm.prices`" in shown
    assert f"The other judges cost at most {money(told['priced'])}, by these tokens" in shown
    _change(config, judges=["openai:dear"])
    assert run(["plan", str(config), "--window", "1"]) == 0
    assert "at most" not in capsys.readouterr().out


def test_the_miner_may_give_all_pairs_to_one_source_and_the_cost_allows_for_it(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = yaml.safe_load(config.read_text(encoding="utf-8"))
    pairs = make_pairs()
    small = pairs["query_id"].isin(sorted(pairs["query_id"].unique())[::4])
    for name, part in (("small", pairs[small]), ("large", pairs[~small])):
        part.to_parquet(config.parent / f"{name}.parquet", index=False)
    text["data"]["sources"] = [{"name": name, "pairs": f"{name}.parquet"} for name in ("small", "large")]
    text["judges"] = [{"backend": CHAT, "name": name, "sources": [name]} for name in ("small", "large")] + [
        {"backend": CHAT, "name": "both"}
    ]
    text["llm"] = {"prices": {name: {"input": 10, "output": 10} for name in ("small", "large", "both")}}
    text["llm"]["prices"]["small"] = {"input": 1000, "output": 1000}
    config.write_text(yaml.safe_dump(text), encoding="utf-8")
    told = _forecast(config, "1", capsys)
    of_small, of_large, of_both = told["judges"]
    assert of_small["calls"] + of_large["calls"] == of_both["calls"] == told["pairs"] == 40
    assert of_small["calls"] < of_small["mined_most"] < 40 == of_large["mined_most"], "as many as it has"
    a_pair = {judge["judge"]: judge["cost"] / judge["pairs_most"] for judge in told["judges"]}
    left = 40 - of_small["mined_most"]
    dearest = of_small["mined_most"] * a_pair["small"] + left * a_pair["large"] + 40 * a_pair["both"]
    assert told["cost"] == pytest.approx(dearest)
    assert run(["plan", str(config), "--window", "1"]) == 0
    assert "dearest source's pairs" in capsys.readouterr().out


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
