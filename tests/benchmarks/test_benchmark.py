"""`serm benchmark` on a world small enough for a test: real runs, each in a process of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from mlflow.tracking import MlflowClient
from small_world import MLFLOW, world, write_tiny_encoder

from serm.benchmarks import runner
from serm.benchmarks.protocol import COLLECTION, PACKAGED, read_protocol
from serm.benchmarks.runner import RunFailedError, run_protocol
from serm.benchmarks.runs import runs_of
from serm.cli.main import run
from serm.core.errors import ConfigError

ARMS = {
    "ours": {},
    "random choice": {"miner": {"choice": "random"}},
    "nothing learned": {"change": {"training": {"average": 0.999}}, "matched": False, "note": "Stays put."},
}


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    config = world(folder, write_tiny_encoder(folder / "model"), evolution={"rounds": 1})
    (folder / "serm.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    file = folder / "small.yaml"
    stated = {
        "name": "small",
        "config": "serm.yaml",
        "seeds": [1, 2],
        "baseline": "random choice",
        "arms": ARMS,
    }
    file.write_text(yaml.safe_dump(stated), encoding="utf-8")
    return file


def in_this_process(file: Path, out: Path, run: runner.Run, *_: object) -> int:
    """Imports are seconds, and the runs are the same."""
    runner.run_once(file, run.arm, run.seed, out)
    return 0


@pytest.mark.timeout(300)  # two arms of two rounds: 45 s where nothing else works
@pytest.mark.slow
def test_arms_and_seeds_are_run_once_and_compared(
    protocol: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_start", in_this_process)
    out = protocol.parent / "out"
    assert run(["benchmark", str(protocol), "--out", str(out), "--jobs", "1"]) == 0
    table = pd.read_parquet(out / "results.parquet")
    assert set(table["arm"]) == set(ARMS)
    assert set(table["seed"]) == {1, 2}
    assert set(table["set"]) == {"early", "late", "evolving"}
    frozen = table[(table["role"] == "frozen") & (table["set"] == "late")]
    of_arm = frozen.pivot_table(index=["seed", "round", "query_id"], columns="arm", values="ndcg@4")
    assert (of_arm["ours"] == of_arm["random choice"]).all()  # what arms share is the same model
    text = (out / "results.md").read_text(encoding="utf-8")
    assert "Simulated judges: ann, bob, cid" in text
    assert "nothing learned (not cost-matched)" in text
    for title in (
        "By language",
        "RnDCG",
        "On windows before they are used",
        "For every 1,000 pairs judged",
        "Judges against human grades",
        "Drift",
    ):
        assert f"**{title}**" in text
    assert re.search(r"\| ours \| late \| \d+ \| \d+\.\d \[\d+\.\d, \d+\.\d\] \| ([+-]|0\.0 the same)", text)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Simulated judges:" in page
    assert "ann (SIMULATED): " in page
    assert "| ann (SIMULATED) | " in text
    assert page.count("<svg") >= 4
    assert page.count("<details") == 20
    assert not re.search(r"(src|href)=|@import|url\(", page)  # it needs nothing else
    marks = {file: file.stat().st_mtime_ns for file in out.glob("runs/*/*/done.json")}
    assert len(marks) == 6
    assert "experiment small" in capfd.readouterr().out
    client = MlflowClient(f"sqlite:///{protocol.parent / MLFLOW}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    logged = client.search_runs([experiment.experiment_id])
    assert len(logged) == 6 + 1
    assert {run.data.tags.get("serm.simulated_judges") for run in logged} == {None, "ann, bob, cid"}
    assert run(["benchmark", str(protocol), "--out", str(out)]) == 0
    assert "6 of them done" in " ".join(capfd.readouterr().out.split())
    assert marks == {file: file.stat().st_mtime_ns for file in out.glob("runs/*/*/done.json")}

    for file in (out / "shared" / "reports").glob("*.parquet"):
        file.unlink()  # somebody makes room
    assert run(["benchmark", str(protocol), "--out", str(out), "--tables"]) == 12
    assert "`shared`" in capfd.readouterr().err


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_the_others_are_kept(
    protocol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = runner._start
    monkeypatch.setattr(
        runner, "_start", lambda *given: (start if given[2].arm == "broken" else in_this_process)(*given)
    )
    values = yaml.safe_load(protocol.read_text(encoding="utf-8"))
    values["config"] = str(protocol.parent / "serm.yaml")
    values["arms"] = {"ours": {}, "broken": {"judges": ["replay:nowhere.parquet#nobody"]}}
    values |= {"baseline": "ours", "seeds": [1], "change": {"evolution": {"rounds": 1}}}
    file = tmp_path / "broken.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    runs = runs_of(tmp_path / "out", ["ours", "broken"], [1])
    with pytest.raises(RunFailedError, match="1 of 2 runs failed: broken"):
        run_protocol(file, tmp_path / "out", runs, jobs=1, tell=lambda line: None)
    assert [item.done for item in runs] == [True, False]
    assert "nowhere.parquet" in (runs[1].folder / "log.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"baseline": "nobody"}, "none of the arms"),
        ({"arms": {"ours": {"change": {}, "nonsense": 1}}, "baseline": "ours"}, "nonsense"),
        ({"config": None}, "either a `config` or a `marketplace`"),
        ({"seeds": []}, "seeds"),
        (
            {"arms": {"ours": {}}, "baseline": "ours", "ablations": {"ours": {}}},
            "arm and ablation at once: ours",
        ),
        ({"ablations": ["no gate"]}, "`ablations` is a mapping"),
        ({"arms": {"ours": 5}, "baseline": "ours"}, "arm `ours` is `5`: write what it changes as a mapping"),
        ({"ablations": {"no gate": ["gate"]}}, "arm `no gate` is "),
        ({"folds": {}}, "folds: "),
        ({"arms": {"ours": {}, "other": None}, "baseline": "ours"}, "arm `other` is null, .* write `{}`"),
        ({"arms": {"ours": {"random_seed": 3}}, "baseline": "ours"}, "arm `ours` sets `random_seed`"),
        ({"ablations": {"moved": {"workspace": "here"}}}, "arm `moved` sets `workspace`"),
        ({"change": {"storage": {"shared": "here"}}}, r"`change` sets `storage\.shared`"),
        ({"folds": {"one": {"random_seed": 3}}}, "fold `one` sets `random_seed`"),
        ({"seeds": [1, 2, 1]}, "a seed stands twice in 1, 2, 1"),
        ({"ablations": {"no gate": {}, "no-gate": {}}}, "arms `no gate` and `no-gate` would be one folder"),
        ({"ablations": {"twice": {"budget": {"pairs_per_round": 80}}}}, "say `matched: false`"),
    ],
)
def test_a_protocol_that_does_not_hang_together_is_told(
    protocol: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    values = yaml.safe_load(protocol.read_text(encoding="utf-8")) | change
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_protocol(file)


@pytest.mark.parametrize("name", sorted({file.stem for file in PACKAGED.glob("*.yaml")} - {COLLECTION}))
def test_every_arm_of_the_protocols_that_come_with_serm_is_a_config(name: str, tmp_path: Path) -> None:
    stated = read_protocol(name)
    assert stated.name == name
    agents = {}
    for arm in stated.arms:
        for fold in stated.folds:
            settings = stated.settings(arm, 1, tmp_path, fold)
            agents[arm] = {agent for agent, share in settings.miner.agents.items() if share > 0}
    for arm, theirs in agents.items():
        if arm.startswith("minus "):
            assert len(agents["ours"] - theirs) == 1
            assert theirs < agents["ours"]


def test_agents_that_an_arm_does_not_name_are_off_where_the_config_names_all(
    protocol: Path, tmp_path: Path
) -> None:
    config = yaml.safe_load((protocol.parent / "serm.yaml").read_text(encoding="utf-8"))
    four = {"feedback": 1.0, "click_model": 1.0, "uncertainty": 1.0, "disagreement": 1.0}
    config["miner"] = {**config.get("miner", {}), "agents": {**four, "drift": 1.0}}
    (tmp_path / "serm.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    arms = {"ours": {}, "minus drift": {"miner": {"agents": four}}}
    stated = {"name": "first", "config": "serm.yaml", "baseline": "ours", "arms": arms}
    (tmp_path / "first.yaml").write_text(yaml.safe_dump(stated), encoding="utf-8")
    alone = {"like": "first", "arms": {"minus drift": {"miner": {"agents": {"drift": 1.0}}}}}
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(alone), encoding="utf-8")
    first, second = (read_protocol(tmp_path / f"{name}.yaml") for name in ("first", "second"))
    ours, minus = (first.settings(arm, 1, tmp_path).miner for arm in ("ours", "minus drift"))
    assert set(ours.agents) == {*four, "drift"}
    assert dict(minus.agents) == four
    assert minus.pool == ours.pool, "all else is merged"
    assert set(second.settings("minus drift", 1, tmp_path).miner.agents) == {"drift"}


def test_judges_may_be_one_string_and_the_settings_say_what_is_no_judge(
    protocol: Path, tmp_path: Path
) -> None:
    def judges(given: object) -> list[str]:
        values = yaml.safe_load(protocol.read_text(encoding="utf-8"))
        values |= {"config": str(protocol.parent / "serm.yaml"), "change": {"judges": given}}
        (tmp_path / "other.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        settings = read_protocol(tmp_path / "other.yaml").settings("ours", 4, tmp_path)
        return [judge.backend for judge in settings.judges]

    assert judges("replay:judgments.parquet#ann") == ["replay:judgments.parquet#ann"]
    assert judges("simulated:accuracy=0.9#ann") == ["simulated:accuracy=0.9,seed=4#ann"]
    with pytest.raises(ConfigError, match=r"judges\.0\.backend: Field required"):
        judges([{"name": "ann"}])
    with pytest.raises(ConfigError, match=r"judges: "):
        judges(7)


def test_folds_of_trec_test_every_query_once(tmp_path: Path) -> None:
    stated = read_protocol("trec-dl-folds")
    tested = [
        rule.when.buckets.values
        for fold in stated.folds
        for rule in stated.settings("ours", 1, tmp_path, fold).data.sets
        if rule.set == "test" and rule.when.buckets
    ]
    assert sorted(tested) == [(0,), (1,), (2,), (3,), (4,)]


def test_an_arm_changes_what_it_names_and_nothing_else(protocol: Path, tmp_path: Path) -> None:
    stated = read_protocol(protocol)
    ours, other = (stated.settings(arm, 2, tmp_path) for arm in ("ours", "random choice"))
    assert other.miner.choice == "random"
    assert other.miner.model_copy(update={"choice": "mined"}) == ours.miner
    assert ours.training == other.training
    assert ours.random_seed == 2
    assert all(judge.backend.endswith("seed=2") for judge in ours.judges)
    assert ours.workspace_path != other.workspace_path
    assert ours.storage.shared == other.storage.shared
