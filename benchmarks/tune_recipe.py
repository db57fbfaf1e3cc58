"""Training recipes compared on gate queries: `python -m serm.benchmarks.tune_recipe configs/verticals.yaml`.

Reads the seed, the windows and the gate of a config, never a test. The labels of a window are the recorded
grades of one judge on a random sample of it: of `--judges` the first that graded it. Each recipe trains the
seed model from the untrained one, and goes on from there through the windows asked for, with a replay of the
seed and of earlier windows, as a round does; `--seeds` times, each with another sample and order. What it
prints is NDCG@4 in points on the gate queries of each source after the last window, what that adds to the
untrained model, paired, with its interval over queries and seeds, and the seconds of all trainings of a seed.
`--try` adds your recipes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import yaml

from serm.core.columns import KEY
from serm.core.errors import ConfigError
from serm.core.settings import Settings
from serm.core.settings_loop import TrainingSettings
from serm.evals.leakage import kept_apart
from serm.evals.measures import ndcg_column, per_query
from serm.evals.seeds import seeds_interval
from serm.evals.tables import Cells, difference, markdown, points
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

LEVEL: Final = 0.95
RESAMPLES: Final = 2_000
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


@dataclass(frozen=True, slots=True)
class Trained:
    """A recipe under one random seed: the model is measured at once and not kept."""

    ndcg: pd.Series  # by query_id, of the gate
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--try", dest="own", nargs="*", default=[], help="YAML: '{epochs: 4, average: 0}'")
    parser.add_argument("--windows", nargs="*", default=["answers"], help="names, in order")
    parser.add_argument("--judges", nargs="+", default=["gpt-4o_umbrela"], help="whose recorded grades count")
    parser.add_argument("--pairs", type=int, default=600, help="labelled in each window")
    parser.add_argument("--pool", type=int, default=10**9, help="documents of a gate query, at most")
    parser.add_argument("--sources", nargs="*", help="whose gate queries count; all unless named")
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args(arguments)
    recipes = {name: RECIPES[name] for name in chosen.recipes} | {text: _own(text) for text in chosen.own}
    settings = Settings.from_yaml(chosen.config)
    with Workspace.open(settings) as workspace:
        data = ingest(settings, workspace)
        gate = data.gate(len(data.windows))
        held_out = {"gate": gate}
        gate = gate[gate["source"].isin(chosen.sources or gate["source"].unique())]
        gate = gate[gate.groupby("query_id").cumcount() < chosen.pool].reset_index(drop=True)
        untrained = open_base(settings.base_model, workspace.embeddings)
        recorded = _recorded(settings, chosen.judges)
        found: dict[str, list[Trained]] = {name: [] for name in recipes}
        for seed in range(1, chosen.seeds + 1):
            rounds = [
                _labelled(data, name, recorded, seed, pairs=chosen.pairs, per_query=settings.miner.per_query)
                for name in chosen.windows
            ]
            (seed_pairs, *rounds), _ = kept_apart([data.seed(), *rounds], held_out)
            for name, changed in recipes.items():
                training = settings.training.model_copy(update=dict(changed))
                found[name].append(_run(untrained, seed_pairs, rounds, training, gate, seed))
                print(f"seed {seed}, {name}: {found[name][-1].seconds:.0f} s", file=sys.stderr, flush=True)
        print(recipe_table(_ndcg(untrained, gate), found, gate))


def recipe_table(before: pd.Series, found: Mapping[str, Sequence[Trained]], gate: pd.DataFrame) -> str:
    """Markdown: a row a recipe, a column a source of gate queries."""
    sources = sorted(gate["source"].unique())
    queries = gate.drop_duplicates("query_id").set_index("query_id")["source"]
    columns = {source: queries.index[queries == source] for source in sources}
    heads = [f"{source} ({len(ids)})" for source, ids in columns.items()]
    rows = [("untrained", *(points(float(np.nanmean(before[ids]))) for ids in columns.values()), "")]
    for name, runs in found.items():
        cells = []
        for ids in columns.values():
            values = np.stack([run.ndcg[ids].to_numpy() for run in runs])
            change = seeds_interval(values - before[ids].to_numpy(), LEVEL, RESAMPLES, seed=0)
            cells.append(f"{points(float(np.nanmean(values)))} ({difference(change)})")
        rows.append((name, *cells, f"{np.mean([run.seconds for run in runs]):.0f}"))
    return markdown(Cells(("recipe", *heads, "seconds"), tuple(rows), frozenset({"recipe", *heads})))


def _ndcg(model: RelevanceModel, graded: pd.DataFrame) -> pd.Series:
    return per_query(graded, score_frame(model, graded).expected).set_index("query_id")[ndcg_column(4)]


def _own(text: str) -> Mapping[str, Any]:
    try:
        return TrainingSettings.model_validate(yaml.safe_load(text)).model_dump(exclude_unset=True)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"--try {text!r} is no set of `training:` keys: {error}") from error


def _run(  # noqa: PLR0917
    untrained: RelevanceModel,
    seed_pairs: pd.DataFrame,
    rounds: Sequence[pd.DataFrame],
    training: TrainingSettings,
    gate: pd.DataFrame,
    seed: int,
) -> Trained:
    started = time.perf_counter()
    first = train(untrained, seed_pairs, training, seed=seed, epochs=training.seed_epochs)
    model, earlier = first, seed_pairs.iloc[:0]
    for number, labelled in enumerate(rounds, 1):
        replay = [
            sample_queries(pairs, round(ratio * len(labelled)), seed + number)
            for pairs, ratio in ((earlier, training.earlier), (seed_pairs, training.seed))
        ]
        start = {"champion": model, "seed": first, "untrained": untrained}[training.start]
        model = train(start, pd.concat([labelled, *replay], ignore_index=True), training, seed=seed)
        earlier = pd.concat([earlier, labelled], ignore_index=True)
    seconds = time.perf_counter() - started
    return Trained(_ndcg(model, gate), seconds)


def _recorded(settings: Settings, judges: Sequence[str]) -> pd.DataFrame:
    """The grades that these judges have recorded; `judge` is a category, in the order asked for."""
    files = {
        settings.resolve(spec.target)
        for judge in settings.judges
        if (spec := parse_backend(judge.backend)).kind == "replay" and spec.model in judges
    }
    if not files:
        raise ConfigError(f"no judge of the config is `replay:FILE#JUDGE` with {' or '.join(judges)}.")
    recorded = pd.concat([read_recordings(file) for file in sorted(files)], ignore_index=True)
    recorded = recorded[recorded["judge"].isin(judges) & recorded["grade"].between(0, 3)]
    return recorded.assign(judge=pd.Categorical(recorded["judge"], categories=list(judges)))


def _labelled(
    data: DataSet, window: str, recorded: pd.DataFrame, seed: int, *, pairs: int, per_query: int
) -> pd.DataFrame:
    """A random sample of a window with the grades of the first judge in `recorded` that graded it."""
    index = next(item.index for item in data.windows if item.name == window)
    graded = data.window(index).merge(recorded[[*KEY, "grade", "judge"]], on=list(KEY))
    judge = next((name for name in recorded["judge"].cat.categories if (graded["judge"] == name).any()), None)
    if judge is None:
        names = ", ".join(recorded["judge"].cat.categories)
        raise ConfigError(f"none of {names} has graded a pair of window {window}.")
    labelled = graded[graded["judge"] == judge]
    sample: pd.DataFrame = labelled.iloc[np.random.default_rng(seed).permutation(len(labelled))]
    sample = sample[sample.groupby("query_id").cumcount() < per_query].head(pairs)
    typed: pd.DataFrame = sample.astype({"grade": int, "judge": str})
    return typed.reset_index(drop=True)


if __name__ == "__main__":
    main()
