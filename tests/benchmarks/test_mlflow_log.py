"""A benchmark in MLflow: each arm and seed once, with its parameters, its rounds and the tables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from mlflow.tracking import MlflowClient
from small_world import MLFLOW, world

from serm.benchmarks import report
from serm.benchmarks.mlflow_log import BENCHMARK, SUMMARY, log_benchmark
from serm.benchmarks.protocol import Protocol, read_protocol
from serm.benchmarks.run_record import made_from
from serm.benchmarks.runs import DONE, Run, runs_of
from serm.cli.main import run as command
from serm.relevance_model.registry import RUN_KEY
from serm.storage.artifacts import write_json
from serm.storage.mlflow_names import metric_part

ARMS = {
    "ours": {},
    "random choice": {"change": {"miner": {"choice": "random"}}, "matched": False, "note": "By chance."},
}


class World:
    """A benchmark of two arms and two seeds that has ended, and its MLflow store."""

    def __init__(self, folder: Path, encoder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        config = world(folder, encoder)
        (folder / "serm.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        stated = {"name": "small: one", "config": "serm.yaml", "seeds": [1, 2]}
        stated |= {"baseline": "random choice", "arms": ARMS}
        (folder / "small.yaml").write_text(yaml.safe_dump(stated), encoding="utf-8")
        self.protocol: Protocol = read_protocol(folder / "small.yaml")
        self.runs = runs_of(self.out, list(ARMS), [1, 2])
        for run in self.runs:
            settings = self.protocol.settings(run.arm, run.seed, self.out)
            write_json(run.folder / DONE, made_from(settings))
            for number in (0, 1, 2):
                file = run.folder / "workspace" / "rounds" / f"{number:03d}" / "round.json"
                write_json(file, self.report(run, number))
        rows = [
            (run.arm, run.seed, "", number, "late, and {last}", role, query, 0.1 * number, 0.5, 0.5)
            for run in self.runs
            for number in (0, 1, 2)
            for role in ("frozen", "champion")
            for query in ("q1", "q2")
        ]
        names = ["arm", "seed", "fold", "round", "set", "role", "query_id", "ndcg@1", "ndcg@4", "ndcg@10"]
        pd.DataFrame(rows, columns=names).to_parquet(self.out / "results.parquet", index=False)
        self.files = [self.out / "results.parquet"]
        self.client = MlflowClient(f"sqlite:///{folder / MLFLOW}")

    def report(self, run: Run, number: int) -> dict[str, Any]:
        counts = {
            "mined": 40,
            "labelled": 30,
            "judging": {"judgments": 80, "tokens_in": 100, "tokens_out": 10, "cost": 2.0},
            "accounts": [{"cost": 0.5}, {"cost": 0.25}],
        }
        later = {
            "counts": counts,
            "decision": {"change": {"mean": 0.01 * run.seed}},
            "verdict": "promoted" if number == 1 else "rolled_back",
            "seconds": 60.0,
            "simulated_judges": ["ann", "bob"],
        }
        return {"round": number, **(later if number else {})}

    def log(self) -> dict[str, Any]:
        """Log it; the runs of the experiment by their key."""
        log_benchmark(self.protocol, self.out, self.runs, self.files)
        experiment = self.client.get_experiment_by_name("small: one")
        assert experiment is not None
        runs = self.client.search_runs([experiment.experiment_id])
        found = {run.data.tags[RUN_KEY]: run for run in runs}
        assert len(found) == len(runs)
        return found


@pytest.fixture
def made(tmp_path: Path, tiny_encoder: Path) -> World:
    return World(tmp_path, tiny_encoder)


def test_every_arm_and_seed_is_a_run_with_its_rounds_under_one_with_the_tables(made: World) -> None:
    runs = made.log()
    assert set(runs) == {
        SUMMARY,
        "ours/seed 1",
        "ours/seed 2",
        "random choice/seed 1",
        "random choice/seed 2",
    }
    run = runs["random choice/seed 2"]
    assert run.info.status == "FINISHED"
    params = run.data.params
    assert (params["arm"], params["seed"], params["random_seed"]) == ("random choice", "2", "2")
    assert params["miner.choice"] == '"random"'
    assert "training.epochs" not in params, "all runs have the same"
    tags = run.data.tags
    assert tags["mlflow.parentRunId"] == runs[SUMMARY].info.run_id
    assert tags["serm.simulated_judges"] == "ann, bob"
    assert (tags["serm.cost_matched"], tags["mlflow.note.content"]) == ("false", "By chance.")
    history = made.client.get_metric_history(
        run.info.run_id, f"{metric_part('late, and {last}')}/champion/ndcg_at_1"
    )
    assert [(item.step, item.value) for item in history] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    last = run.data.metrics
    assert (last["gate_change"], last["promoted"], last["judgments"]) == (0.02, 0.0, 80.0)
    assert (last["cost"], last["paid"], last["tokens"], last["seconds"]) == (2.0, 0.75, 110.0, 60.0)
    promoted = made.client.get_metric_history(run.info.run_id, "promoted")
    assert [(item.step, item.value) for item in promoted] == [(1, 1.0), (2, 0.0)]
    assert [item.path for item in made.client.list_artifacts(runs[SUMMARY].info.run_id)] == [
        "results.parquet"
    ]


def test_logged_again_it_is_there_once_and_what_changed_is_replaced(made: World) -> None:
    first = made.log()
    again = made.log()
    assert {key: run.info.run_id for key, run in again.items()} == {
        key: run.info.run_id for key, run in first.items()
    }
    file = made.runs[0].folder / "workspace" / "rounds" / "002" / "round.json"
    told = json.loads(file.read_text(encoding="utf-8")) | {"seconds": 90.0}
    write_json(file, told)
    made.files.append(made.folder / "serm.yaml")
    third = made.log()
    assert third.keys() == first.keys()
    changed = {key for key in first if third[key].info.run_id != first[key].info.run_id}
    assert changed == {"ours/seed 1"}
    assert third["ours/seed 1"].data.metrics["seconds"] == 90.0
    summary = third[SUMMARY].info.run_id
    assert len(made.client.list_artifacts(summary)) == 2
    made.client.update_run(third["ours/seed 2"].info.run_id, status="RUNNING")  # a kill came
    assert made.log()["ours/seed 2"].info.status == "FINISHED"


def test_two_benchmarks_of_one_protocol_on_one_server_leave_each_other_alone(made: World) -> None:
    first = {run.info.run_id for run in made.log().values()}
    own, made.out = made.out, made.folder / "again"
    shutil.copytree(own, made.out)
    log_benchmark(made.protocol, made.out, made.runs, made.files)
    experiment = made.client.get_experiment_by_name("small: one")
    assert experiment is not None
    both = {run.info.run_id for run in made.client.search_runs([experiment.experiment_id])}
    assert first < both
    assert len(both) == 2 * len(first)
    for out in (own, made.out, own):
        log_benchmark(made.protocol, out, made.runs, made.files)
    assert both == {run.info.run_id for run in made.client.search_runs([experiment.experiment_id])}


def test_runs_that_an_earlier_version_logged_beside_the_tables_are_replaced(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = yaml.safe_load((made.folder / "serm.yaml").read_text(encoding="utf-8"))
    del config["storage"]["mlflow"]
    (made.folder / "serm.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    shutil.copyfile(made.folder / MLFLOW, made.out / "mlflow.db")
    made.client = MlflowClient(f"sqlite:///{made.out / 'mlflow.db'}")
    first = made.log()
    for run in first.values():
        made.client.delete_tag(run.info.run_id, BENCHMARK)  # it bore none then
    again = made.log()
    assert {key: run.info.run_id for key, run in again.items()} == {
        key: run.info.run_id for key, run in first.items()
    }


def test_without_mlflow_the_tables_are_written_all_the_same(
    made: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "write_report", lambda *given: made.files)
    store = made.folder / MLFLOW
    store.unlink()
    store.mkdir()
    given = ["benchmark", str(made.folder / "small.yaml"), "--out", str(made.out), "--tables"]
    assert command(given) == 0
    said = capfd.readouterr().out
    assert "wrote" in said
    assert "Not in MLflow: MLflow at sqlite:///" in said
