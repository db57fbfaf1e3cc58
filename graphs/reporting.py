"""What a round leaves behind: measures on grades that nothing before has read, and round.json."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.columns import KEY
from serm.core.settings_data import EVOLVING
from serm.evals.evaluate import Evaluation, compare, evaluate, summarise
from serm.evals.plain import plain
from serm.graphs.crediting import credit_round
from serm.graphs.gate_panel import gate_totals
from serm.graphs.gating import decision_path
from serm.graphs.held_out import held_out
from serm.graphs.resources import Resources
from serm.graphs.reviewing import HUMAN
from serm.graphs.stages import label_accuracy, stages
from serm.graphs.state import SupervisorState
from serm.graphs.training import LEAKAGE, labels_path, round_folder, snapshot_path
from serm.relevance_model.scoring import stored_scores
from serm.storage.artifacts import write_file, write_json
from serm.storage.dataset import DataSet, TestRef
from serm.storage.labels import read_labels
from serm.storage.reading import MADE_AGAIN, read_frame, read_json
from serm.storage.snapshots import read_snapshot
from serm.storage.trace import fallen_back, worked

ANNOTATION = "annotation.json"
"""Beside the labels: what the annotator's stages did and took."""


def report_start(resources: Resources, state: SupervisorState) -> None:
    """Round 0: the models before any mining."""
    leakage = read_json(round_folder(resources, 0) / LEAKAGE)
    evaluations = _evaluations(resources, state)
    _write_report(resources, state, {"window": None, "leakage": leakage, "evaluations": evaluations})


def report_round(resources: Resources, state: SupervisorState) -> None:
    """Measure and write round.json. Safe to repeat: nothing is scored twice."""
    number, began = state["round"], time.time_ns()
    window = resources.window(number)
    labels = read_labels(labels_path(resources, state["labels"]))
    sealed = resources.dataset.sealed(number - 1)
    annotation, human = (_told_of(resources, state["labels"], name) for name in (ANNOTATION, HUMAN))
    decision = read_json(decision_path(resources, number))
    report = {
        "window": {"index": window.index, "name": window.name, "id": window.id, "pairs": window.pairs},
        "sample": f"samples/{state['sample']}/sample.parquet",
        "labels": f"labels/{state['labels']}/labels.parquet",
        "snapshot": f"snapshots/{state['snapshot']}.parquet",
        "nominations": {
            agent: f"samples/{state['sample']}-{agent}/nominations.parquet"
            for agent in resources.agent_names()
        },
        "counts": _counts(resources, state, labels),
        "label_accuracy": label_accuracy(labels, sealed),
        "stages": stages(labels, annotation, human, sealed),
        "credit": credit_round(resources, state),
        "saved": annotation.get("saved"),
        "failures": {
            name: told["failures"]
            for name, told in annotation.get("judges", {}).items()
            if told.get("failures")
        },
        "outside": {name: told.get("outside") for name, told in annotation.get("judges", {}).items()},
        "human": human or None,
        "fell_back": fallen_back(resources.workspace.traces, resources.trace_id(number)),
        # Of those that made the labels, and of those of now, who may have judged for the gate.
        "simulated_judges": sorted(
            {*annotation.get("simulated_judges", ()), *resources.panel(number).simulated}
        ),
        "decision": decision,
        "leakage": read_json(round_folder(resources, number) / LEAKAGE),
        "evaluations": _evaluations(resources, state),
        "seconds": round(worked(resources.workspace.traces, resources.trace_id(number), began), 1),
    }
    _write_report(resources, state, report)


def read_report(resources: Resources, number: int) -> dict[str, Any]:
    report: dict[str, Any] = read_json(_report_path(resources, number))
    return report


def _told_of(resources: Resources, labels: str, name: str) -> dict[str, Any]:
    """What lies beside labels; {} where it does not."""
    path = resources.workspace.labels / labels / name
    return read_json(path) if path.is_file() else {}


def _report_path(resources: Resources, number: int) -> Path:
    return round_folder(resources, number) / "round.json"


def _write_report(resources: Resources, state: SupervisorState, report: Mapping[str, Any]) -> None:
    number = state["round"]
    before = state["previous"] if state.get("verdict") == "promoted" else state["champion"]
    whole = {
        "round": number,
        "models": {
            "untrained": state["untrained"],
            "frozen": state["frozen"],
            "champion_before": before,
            "challenger": state.get("challenger", ""),
            "champion_after": state["champion"],
            "version": resources.registry.version_of(state["champion"]),
        },
        "verdict": state.get("verdict", ""),
        "trace_id": resources.trace_id(number),
        "precision": resources.precision,
        "static_test": _name(resources.dataset.static_test),
        "last_test": _name(resources.dataset.last_test),
        **report,
    }
    write_json(_report_path(resources, number), plain(whole))


def _name(test: TestRef | None) -> str:
    return test.name if test else ""


def _evaluations(resources: Resources, state: SupervisorState) -> dict[str, Any]:
    """Set -> model role -> measures, and the paired difference of every model to the frozen one."""
    roles = {"untrained": state["untrained"], "frozen": state["frozen"], "champion": state["champion"]}
    settings, seed = resources.settings.evaluation, resources.settings.random_seed
    tables: dict[str, Any] = {}
    for name, key, frame in _sets(resources, state["round"]):
        found = {role: _measured(resources, key, frame, model) for role, model in roles.items()}
        tables[name] = {role: item.to_json() for role, item in found.items()} | {
            "differences": {
                f"{role} - frozen": {
                    measure: asdict(interval)
                    for measure, interval in compare(
                        found["frozen"],
                        found[role],
                        level=settings.level,
                        resamples=settings.resamples,
                        seed=seed,
                    ).items()
                }
                for role in ("untrained", "champion")
            }
        }
    return tables


def _sets(resources: Resources, number: int) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Every test set by its name, and the next window's stream with its sealed grades: of that the pairs
    which came in no window before, because it is there for what nothing was learned from."""
    dataset = resources.dataset
    for test in dataset.tests:
        if test.pairs:
            yield test.name, f"test {test.name}", dataset.test(test.name)
    if number < len(dataset.windows):
        graded = dataset.window(number).merge(dataset.sealed(number), on=list(KEY), how="inner")
        if len(graded):
            graded = graded[~_seen(graded, dataset, number)]
        if len(graded):
            yield EVOLVING, f"window {number}", graded


def _seen(frame: pd.DataFrame, dataset: DataSet, windows: int) -> NDArray[np.bool_]:
    """Which pairs stood in one of the first windows, too, where they may have been labelled: (n,) bool."""
    keys = pd.MultiIndex.from_frame(frame[list(KEY)])
    seen = np.zeros(len(frame), dtype=bool)
    for index in range(windows):
        seen |= keys.isin(pd.MultiIndex.from_frame(dataset.window(index, KEY)))
    return seen


def _measured(resources: Resources, key: str, frame: pd.DataFrame, model: str) -> Evaluation:
    """One model on one set, measured once: its table by query stays in the workspace's reports/."""
    name = resources.score_key(resources.dataset.id, key, model)
    table = resources.workspace.reports / f"{name}.parquet"
    if not table.is_file():
        scores = stored_scores(resources.workspace.scores, name, resources.models.open(model), frame)
        write_file(table, evaluate(frame, scores).per_query.to_parquet)
    return summarise(read_frame(table, remedy=MADE_AGAIN))


def _counts(resources: Resources, state: SupervisorState, labels: pd.DataFrame) -> dict[str, Any]:
    sample = resources.sample(state["sample"])
    snapshot = read_snapshot(snapshot_path(resources, state["snapshot"]))
    trace = resources.trace_id(state["round"])
    totals, turns = resources.judgments.totals(trace), resources.judgments.turn_totals(trace)
    of_gate = gate_totals(resources, state["round"])
    judging = {name: value - getattr(of_gate, name) for name, value in asdict(totals).items()}
    apart = held_out(resources, state["round"]).rows(resources.coded_pairs(state["round"]))
    return {
        "kept_apart": int(apart.sum()),
        "mined": len(sample),
        "mined_by": {str(agent): int(count) for agent, count in sample["agent"].value_counts().items()},
        "labelled": int(labels["grade"].notna().sum()),
        "outcomes": dict(Counter(labels["outcome"])),
        "grades": {str(grade): int(count) for grade, count in labels["grade"].value_counts().items()},
        "trained_on": {str(name): int(count) for name, count in snapshot["origin"].value_counts().items()},
        "judging": {**judging, "lost_calls": resources.judgments.lost_calls()},
        "gate": asdict(of_gate),
        "agents": {**asdict(turns), "lost_turns": resources.judgments.lost_turns()},
        "accounts": [asdict(account) for account in resources.judgments.accounts(trace)],
    }
