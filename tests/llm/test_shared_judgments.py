"""Arms whose judges are behind a server: a pair that several arms send is asked once, and counts for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from chat_stub import ChatStub
from small_world import world

from serm.benchmarks import runner
from serm.benchmarks.protocol import read_protocol
from serm.benchmarks.runner import run_once, run_protocol
from serm.benchmarks.runs import runs_of
from serm.benchmarks.shared_judgments import require_names
from serm.cli.pair_facts import _judgments
from serm.core.errors import ConfigError
from serm.core.records import PairKey
from serm.storage.workspace import Workspace

ARMS: dict[str, Any] = {
    "ours": {},
    "no gate": {"gate": {"enabled": False}},
    "small alone": {"agreement": {"min_judges": 1}},
}


def protocol_in(folder: Path, encoder: Path, url: str, **changes: Any) -> Path:
    prices = {name: {"input": 1_000, "output": 1_000} for name in ("small", "large")}
    judges = [f"{url}#small", f"{url}#large"]
    config = world(folder, encoder, judges=judges, evolution={"rounds": 1}, llm={"prices": prices})
    (folder / "serm.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    arms = {**ARMS, "small alone": {**ARMS["small alone"], "judges": judges[:1]}}
    stated = {"name": "small", "config": "serm.yaml", "seeds": [1], "baseline": "ours", "arms": arms}
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump({**stated, **changes}), encoding="utf-8")
    return file


def first_round(workspace: Path) -> dict[str, Any]:
    return dict(json.loads((workspace / "rounds" / "001" / "round.json").read_text(encoding="utf-8")))


@pytest.mark.slow
def test_a_pair_of_two_arms_is_asked_once_and_counts_for_both(
    stub: ChatStub, tmp_path: Path, tiny_encoder: Path
) -> None:
    file, out = protocol_in(tmp_path, tiny_encoder, stub.url), tmp_path / "out"
    protocol = read_protocol(file)
    folders = {arm: protocol.settings(arm, 1, out).workspace_path for arm in ARMS}
    asked = {}
    for arm in ARMS:
        before = len(stub.bodies)
        run_once(file, arm, 1, out)
        asked[arm] = len(stub.bodies) - before
    # 40 pairs and two judges, and two trials by which each judge shows that it works
    assert asked == {"ours": 84, "no gate": 4, "small alone": 2}
    counts = {arm: first_round(folder)["counts"] for arm, folder in folders.items()}
    judged = {arm: found["judging"]["judgments"] for arm, found in counts.items()}
    assert judged == {"ours": 80, "no gate": 80, "small alone": 40}
    assert counts["no gate"]["judging"]["cost"] == counts["ours"]["judging"]["cost"]
    paid = {arm: sum(account["cost"] for account in found["accounts"]) for arm, found in counts.items()}
    assert paid["ours"] > 10 * paid["no gate"] > 0
    alone = first_round(folders["small alone"])
    assert {account["judge"] for account in alone["counts"]["accounts"]} == {"small"}

    key = PairKey(*stub_pair(folders["small alone"], alone))
    told = {arm: [item.judge for item in _judgments(Workspace.read(folders[arm]), key)] for arm in ARMS}
    assert sorted(told["no gate"]) == ["large", "small"], "the folder alone leads to what was said"
    assert told["small alone"] == ["small"], "and not to what it never asked for"


def stub_pair(workspace: Path, report: dict[str, Any]) -> tuple[str, str]:
    import pandas as pd

    row = pd.read_parquet(workspace / report["labels"]).iloc[0]
    return str(row["query_id"]), str(row["doc_id"])


def test_what_costs_nothing_or_is_bounded_by_money_stays_in_each_runs_own(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    out = tmp_path / "out"
    arms = {
        "paid": {},
        "free": {"judges": ["simulated:accuracy=0.9,shared=0.5,seed=3#ann", "replay:said.parquet#x"]},
        "bounded": {"budget": {"currency": 5.0}},
        "elsewhere": {"storage": {"database": "postgresql://host/x"}},
    }
    file = protocol_in(tmp_path, tiny_encoder, "http://localhost:1/v1", arms=arms, baseline="paid")
    protocol = read_protocol(file)
    found = {arm: protocol.settings(arm, 1, out).storage.database for arm in arms}
    assert found == {
        "paid": f"sqlite:///{out / 'shared' / 'judgments.sqlite'}",
        "free": None,
        "bounded": None,
        "elsewhere": "postgresql://host/x",
    }
    begun = protocol.settings("paid", 2, out).workspace_path
    begun.mkdir(parents=True)
    (begun / "judgments.sqlite").touch()
    assert protocol.settings("paid", 2, out).storage.database is None, "an earlier version began it"


def test_two_servers_may_not_answer_by_one_name(tmp_path: Path, tiny_encoder: Path) -> None:
    other = "http://localhost:2/v1#small"
    arms = {"ours": {}, "other": {"judges": [other]}}
    file = protocol_in(tmp_path, tiny_encoder, "http://localhost:1/v1", arms=arms)
    protocol = read_protocol(file)
    with pytest.raises(ConfigError, match="judge `small` is http://localhost:1/v1 in arm `ours`"):
        require_names((arm, protocol.settings(arm, 1, tmp_path)) for arm in arms)
    arms["other"] = {"judges": [{"backend": other, "name": "the other"}]}
    protocol = read_protocol(protocol_in(tmp_path, tiny_encoder, "http://localhost:1/v1", arms=arms))
    require_names((arm, protocol.settings(arm, 1, tmp_path)) for arm in arms)


def test_two_servers_may_not_answer_by_one_name_in_arms_that_are_run_one_after_the_other(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_start", lambda *given: 0)
    arms = {"ours": {}, "other": {"judges": ["http://localhost:2/v1#small"]}, "neither": {"only_judge": 3}}
    file, out = protocol_in(tmp_path, tiny_encoder, "http://localhost:1/v1", arms=arms), tmp_path / "out"
    for arm in ("ours", "other"):
        with pytest.raises(ConfigError, match="http://localhost:2/v1 in arm `other`"):
            run_protocol(file, out, runs_of(out, [arm], [1]), jobs=1, tell=lambda line: None)
    del arms["other"]
    protocol_in(tmp_path, tiny_encoder, "http://localhost:1/v1", arms=arms)
    run_protocol(file, out, runs_of(out, ["ours"], [1]), jobs=1, tell=lambda line: None)
    with pytest.raises(ConfigError, match="arm `neither` asks judge 3 alone"):
        run_protocol(file, out, runs_of(out, ["neither"], [1]), jobs=1, tell=lambda line: None)
