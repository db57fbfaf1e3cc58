"""A benchmark in MLflow: one experiment, a run for each arm and seed, and one over them with the tables.

Runs are found again by a key, so that a benchmark that is collected again is there once: a run whose figures
have changed is replaced, all others stay as they are. On a server that several benchmarks share, each finds
its own alone: an id that is kept in its folder tells them apart.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from mlflow.entities import Metric, Param, RunStatus
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from serm.benchmarks.carrying import RUN
from serm.benchmarks.collect import NDCG, reports, simulated_in
from serm.benchmarks.protocol import Protocol
from serm.benchmarks.run_record import deciding
from serm.benchmarks.runs import Run
from serm.core.hashing import digest, digest_file
from serm.relevance_model.registry import RUN_KEY
from serm.storage.identity import workspace_id
from serm.storage.mlflow_errors import mlflow_errors
from serm.storage.mlflow_file import make_whole
from serm.storage.mlflow_names import metric_part
from serm.storage.traces_mlflow import experiment_of, quiet_mlflow

CONTENT: Final = "serm.content"
"""A tag: the digest of all that a run bears. One without it, or not finished, was cut off by a kill."""
BENCHMARK: Final = "serm.benchmark"
"""A tag: the id of the benchmark's folder."""
_OF_SET: Final = [*RUN, "set", "role", "round"]
_NOTE: Final = "mlflow.note.content"
SUMMARY: Final = "summary"
"""The key of the run over all others."""
_REMEDY: Final = "Check `storage.mlflow`; the tables are written, and `--tables` logs them again."
_METRICS, _PARAMS, _VALUE = 1_000, 100, 6_000  # MLflow's limits: of each in a call, characters of a parameter


@dataclass(frozen=True)
class Logged:
    """What one run in MLflow bears."""

    key: str
    name: str
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[tuple[str, float, int]] = ()  # name, value, round
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> str:
        return digest([dict(self.params), [list(item) for item in self.metrics], dict(self.tags)])


def log_benchmark(protocol: Protocol, out: Path, runs: Sequence[Run], files: Sequence[Path]) -> str:
    """Log all runs that are done, with `files`, results.parquet among them; returns MLflow's URI.

    It is `storage.mlflow` of the protocol's config, or `mlflow.db` in `out`. Raises WorkspaceError where
    MLflow does not take it.
    """
    done = [run for run in runs if run.done]
    settings = [protocol.settings(run.arm, run.seed, out, run.fold) for run in done]
    shared = settings[0].storage.mlflow
    uri = shared or f"sqlite:///{out.resolve() / 'mlflow.db'}"
    flat = [deciding(item) for item in settings]
    shown = {key for of in flat for key in of if len({other.get(key) for other in flat}) > 1}
    table = pd.read_parquet(out / "results.parquet", columns=[*_OF_SET, *NDCG])
    means = table.groupby(_OF_SET, as_index=False)[list(NDCG)].mean()
    of_runs = dict(iter(means.groupby(RUN)))
    with mlflow_errors(uri, "did not take the benchmark", _REMEDY), quiet_mlflow():
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        make_whole(uri)
        log = _Log(MlflowClient(uri, uri), uri, protocol.name, workspace_id(out), alone=not shared)
        parent = log.summary(protocol, files)
        for run, values in zip(done, flat, strict=True):
            params = {key: value for key, value in values.items() if key in shown}
            rows = of_runs.get((run.arm, run.seed, run.fold), means.iloc[:0])
            log.put(_logged(protocol, run, params, rows, parent))
    return uri


def _logged(
    protocol: Protocol, run: Run, params: Mapping[str, str], means: pd.DataFrame, parent: str
) -> Logged:
    arm, told = protocol.arms[run.arm], reports(run)
    simulated = sorted(frozenset[str]().union(*map(simulated_in, told)))
    tags = {
        MLFLOW_PARENT_RUN_ID: parent,
        "serm.arm": run.arm,
        "serm.seed": str(run.seed),
        "serm.fold": run.fold,
        "serm.simulated_judges": ", ".join(simulated),
        "serm.cost_matched": str(arm.matched).lower(),
        _NOTE: arm.note,
    }
    own = {"arm": run.arm, "seed": str(run.seed), **({"fold": run.fold} if run.fold else {})}
    metrics = [*_ranking(means), *(item for report in told for item in _figures(report))]
    told_tags = {name: text for name, text in tags.items() if text}
    return Logged(f"{run.arm}/{run.place}", f"{run.arm}, {run.place}", {**params, **own}, metrics, told_tags)


def _ranking(means: pd.DataFrame) -> Iterator[tuple[str, float, int]]:
    """NDCG of every set, role and round of one run: the mean over the set's queries."""
    for row in means.to_dict("records"):
        for measure in NDCG:
            if not np.isnan(row[measure]):
                name = f"{metric_part(row['set'])}/{row['role']}/{measure.replace('@', '_at_')}"
                yield name, float(row[measure]), int(row["round"])


def _figures(report: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """What a round decided and took."""
    if not report["round"]:
        return
    counts, change = report["counts"], report["decision"]["change"]
    figures = {
        "gate_change": change["mean"] if change else None,
        "promoted": float(report["verdict"] == "promoted"),
        "mined": counts["mined"],
        "labelled": counts["labelled"],
        "judgments": counts["judging"]["judgments"],
        "tokens": counts["judging"]["tokens_in"] + counts["judging"]["tokens_out"],
        "cost": counts["judging"]["cost"],
        "paid": sum(account["cost"] for account in counts.get("accounts", [])),
        "gate_judgments": counts.get("gate", {}).get("judgments", 0),
        "seconds": report["seconds"],
    }
    yield from ((name, float(value), report["round"]) for name, value in figures.items() if value is not None)


class _Log:
    """One experiment."""

    def __init__(self, client: MlflowClient, uri: str, name: str, benchmark: str, *, alone: bool) -> None:
        """`alone`: no other benchmark is in this MLflow, whatever id its runs bear, or none as once."""
        self._client, self._experiment = client, experiment_of(client, uri, name)
        self._benchmark = benchmark
        tags = ((run, run.data.tags) for run in self._all())
        self._there = {of.get(RUN_KEY): run for run, of in tags if alone or of.get(BENCHMARK) == benchmark}

    def _all(self) -> Iterator[Any]:
        found = self._client.search_runs([self._experiment])
        yield from found
        while found.token:
            found = self._client.search_runs([self._experiment], page_token=found.token)
            yield from found

    def summary(self, protocol: Protocol, files: Sequence[Path]) -> str:
        """The id of the run over all others, which has the files as they are now."""
        there = self._there.get(SUMMARY)
        run_id = there.info.run_id if there else self._create(SUMMARY, protocol.name, {})
        content = digest([digest_file(file) for file in files])
        if there is None or there.data.tags.get(CONTENT) != content:
            for file in files:
                self._client.log_artifact(run_id, str(file))
            self._client.set_tag(run_id, CONTENT, content)
            self._client.set_terminated(run_id)
        return str(run_id)

    def put(self, logged: Logged) -> None:
        """Log a run, in place of one of its key that bears anything else."""
        there = self._there.get(logged.key)
        if there is not None:
            whole = there.info.status == RunStatus.to_string(RunStatus.FINISHED)
            if whole and there.data.tags.get(CONTENT) == logged.content:
                return
            self._client.delete_run(there.info.run_id)
        run_id = self._create(logged.key, logged.name, {**logged.tags, CONTENT: logged.content})
        now = time.time_ns() // 1_000_000
        metrics = [Metric(name, value, now, step) for name, value, step in logged.metrics]
        params = [Param(metric_part(name), value[:_VALUE]) for name, value in logged.params.items()]
        for some in _batches(metrics, _METRICS):
            self._client.log_batch(run_id, metrics=some)
        for some in _batches(params, _PARAMS):
            self._client.log_batch(run_id, params=some)
        self._client.set_terminated(run_id)

    def _create(self, key: str, name: str, tags: Mapping[str, str]) -> str:
        named = {**tags, RUN_KEY: key, BENCHMARK: self._benchmark, MLFLOW_RUN_NAME: name}
        return str(self._client.create_run(self._experiment, run_name=name, tags=named).info.run_id)


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
