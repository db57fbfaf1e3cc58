"""Training recipes compared on gate queries: `python -m serm.benchmarks.tune_recipe configs/verticals.yaml`.

Reads the seed, the windows and the gate of a config, never a test. The labels of a window are the recorded
grades of one judge on a random sample of it: of `--judges` the first that graded it. Each recipe trains the
seed model from the untrained one, and goes on from there through the windows asked for, with a replay of the
seed, as a round does. What it prints is NDCG@4 in points on the gate queries of each source, and the seconds
of training.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from serm.core.columns import KEY
from serm.core.errors import ConfigError
from serm.core.settings import Settings
from serm.core.settings_loop import TrainingSettings
from serm.evals.measures import ndcg_column, per_query
from serm.llm.recordings import read_recordings
from serm.llm.spec import parse_backend
from serm.relevance_model.base import RelevanceModel
from serm.relevance_model.loading import open_base
from serm.relevance_model.scoring import score_frame
from serm.relevance_model.train import train
from serm.storage.dataset import DataSet
from serm.storage.ingest import ingest
from serm.storage.snapshots import sample_queries
from serm.storage.workspace import Workspace

RECIPES: Final[dict[str, dict[str, Any]]] = {
    "default": {},
    "learning rate 1e-5": {"learning_rate": 1e-5},
    "learning rate 6e-5": {"learning_rate": 6e-5},
    "no averaging": {"average": 0.0},
    "no listwise term": {"listwise": 0.0},
    "listwise x 4": {"listwise": 4.0},
    "nothing frozen": {"freeze_layers": 0},
    "four layers frozen": {"freeze_layers": 4, "learning_rate": 1e-4},
    "five layers frozen": {"freeze_layers": 5, "learning_rate": 2e-4},
    "one epoch": {"epochs": 1, "seed_epochs": 1},
    "seed: head alone": {"seed_epochs": 0},
    "four frozen, seed: head alone": {"freeze_layers": 4, "learning_rate": 1e-4, "seed_epochs": 0},
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--windows", nargs="*", default=["answers"], help="names, in order")
    parser.add_argument("--judges", nargs="+", default=["gpt-4o_umbrela"], help="whose recorded grades count")
    parser.add_argument("--pairs", type=int, default=600, help="labelled in each window")
    parser.add_argument("--pool", type=int, default=10**9, help="documents of a gate query, at most")
    chosen = parser.parse_args(arguments)
    settings = Settings.from_yaml(chosen.config)
    console = Console()
    with Workspace.open(settings) as workspace:
        data = ingest(settings, workspace)
        gate = data.gate(len(data.windows))
        gate = gate[gate.groupby("query_id").cumcount() < chosen.pool].reset_index(drop=True)
        untrained = open_base(settings.base_model, workspace.embeddings)
        rounds = [_labelled(settings, data, name, chosen) for name in chosen.windows]
        table = _table(gate, chosen.windows)
        _add(table, "untrained", [("", untrained, 0.0)], gate)
        for name in chosen.recipes:
            training = settings.training.model_copy(update=RECIPES[name])
            _add(table, name, _run(untrained, data.seed(), rounds, training, settings.random_seed), gate)
        console.print(table)


def _run(
    untrained: RelevanceModel,
    seed: pd.DataFrame,
    rounds: Sequence[tuple[str, pd.DataFrame]],
    training: TrainingSettings,
    random_seed: int,
) -> list[tuple[str, RelevanceModel, float]]:
    """(after what, model, seconds) of each step."""
    started = time.perf_counter()
    model = train(untrained, seed, training, seed=random_seed, epochs=training.seed_epochs)
    steps = [("seed", model, time.perf_counter() - started)]
    for name, labelled in rounds:
        started = time.perf_counter()
        replay = sample_queries(seed, round(training.seed * len(labelled)), random_seed)
        model = train(model, pd.concat([labelled, replay], ignore_index=True), training, seed=random_seed)
        steps.append((name, model, time.perf_counter() - started))
    return steps


def _labelled(
    settings: Settings, data: DataSet, window: str, chosen: argparse.Namespace
) -> tuple[str, pd.DataFrame]:
    """A random sample of a window with the judge's recorded grades."""
    files = {
        settings.resolve(spec.target)
        for judge in settings.judges
        if (spec := parse_backend(judge.backend)).kind == "replay" and spec.model in chosen.judges
    }
    recorded = pd.concat([read_recordings(file) for file in sorted(files)], ignore_index=True)
    recorded = recorded[recorded["judge"].isin(chosen.judges) & recorded["grade"].between(0, 3)]
    index = next(item.index for item in data.windows if item.name == window)
    graded = data.window(index).merge(recorded[[*KEY, "grade", "judge"]], on=list(KEY))
    judge = next((name for name in chosen.judges if (graded["judge"] == name).any()), None)
    if judge is None:
        raise ConfigError(f"none of {', '.join(chosen.judges)} has graded a pair of window {window}.")
    pairs = graded[graded["judge"] == judge]
    order = np.random.default_rng(settings.random_seed).permutation(len(pairs))
    sample = pairs.iloc[order]
    sample = sample[sample.groupby("query_id").cumcount() < settings.miner.per_query].head(chosen.pairs)
    return window, sample.astype({"grade": int}).reset_index(drop=True)


def _table(gate: pd.DataFrame, windows: Sequence[str]) -> Table:
    table = Table(title="NDCG@4 on gate queries, points", caption="after seed, then " + ", ".join(windows))
    table.add_column("recipe")
    for source, rows in gate.groupby("source"):
        table.add_column(f"{source} ({rows['query_id'].nunique()})", justify="right")
    table.add_column("seconds", justify="right")
    return table


def _add(
    table: Table, name: str, steps: Sequence[tuple[str, RelevanceModel, float]], gate: pd.DataFrame
) -> None:
    columns: list[list[str]] = [[] for _ in range(gate["source"].nunique())]
    for _, model, _ in steps:
        for column, (_, rows) in zip(columns, gate.groupby("source"), strict=True):
            graded = rows.reset_index(drop=True)
            found = per_query(graded, score_frame(model, graded).expected)[ndcg_column(4)].mean()
            column.append(f"{100 * found:.1f}")
    seconds = " / ".join(f"{item:.0f}" for _, _, item in steps)
    table.add_row(name, *(" / ".join(column) for column in columns), seconds)


if __name__ == "__main__":
    main()
