"""Does the credit that a round gives its agents say what training without their labels says?

python -m serm.benchmarks.mining.credit_check CONFIG --round 1 --seeds 3

Takes a finished round of a run (`serm evolve CONFIG`; of a benchmark's run give its done.json), trains its
snapshot again with each agent's labels left out, and compares the gate's listwise loss and NDCG@4 with those
of the whole snapshot. Labels that helped are missed: the loss without them is higher. Each training is
repeated with other seeds, as one differs from the next by more than a few labels do. Nothing is written to
the run's workspace.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from serm.benchmarks.run_record import read_settings
from serm.benchmarks.runs import DONE
from serm.core.columns import KEY
from serm.core.errors import ConfigError
from serm.core.settings import Settings
from serm.evals.measures import ndcg_column, per_query
from serm.graphs.reporting import read_report
from serm.graphs.resources import Resources
from serm.graphs.training import one_hot
from serm.relevance_model.base import RelevanceModel
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.examples import examples
from serm.relevance_model.losses import listwise
from serm.relevance_model.train import train
from serm.storage.snapshots import read_snapshot

WHOLE = ""
"""In the place of an agent: nothing is left out."""


@dataclass(frozen=True, slots=True)
class Left:
    """An agent: its estimated credit, and what training without its labels did, seed by seed."""

    agent: str
    labels: int
    credit: float
    loss: NDArray[
        np.float64
    ]  # the gate's listwise loss without its labels, less that with all: missed if > 0
    ndcg: NDArray[np.float64]  # NDCG@4 with all, less that without them: missed if > 0

    @property
    def agrees(self) -> bool:
        return bool(np.sign(self.credit) == np.sign(self.loss.mean()))


def check(resources: Resources, number: int, seeds: int) -> list[Left]:
    """Every agent of a finished round with labels in its snapshot. ConfigError where it has no credit."""
    report = read_report(resources, number)
    credit: Mapping[str, Any] = report.get("credit") or {}
    if not credit:
        raise ConfigError(f"round {number} has no credit.", "It needs a bi-encoder and gate queries.")
    folder, training = resources.workspace.folder, resources.settings.training
    snapshot = read_snapshot(folder / report["snapshot"])
    sample = pd.read_parquet(folder / report["sample"], columns=[*KEY, "agent"])
    nominated = snapshot[list(KEY)].merge(sample, on=list(KEY), how="left")["agent"]
    agent = nominated.where(snapshot["origin"] == "new").fillna(WHOLE).to_numpy()
    models = report["models"]
    starts = {
        "champion": models["champion_before"],
        "seed": models["frozen"],
        "untrained": models["untrained"],
    }
    start = resources.models.open(starts[training.start])
    gate, scale = resources.dataset.gate(number - 1), _head_scale(start)
    measured: dict[str, list[tuple[float, float]]] = {}
    for name in (WHOLE, *sorted(set(agent) - {WHOLE})):
        rows = snapshot if name == WHOLE else snapshot[agent != name].reset_index(drop=True)
        for seed in range(seeds):
            model = train(start, rows, training, seed=resources.settings.random_seed + seed)
            assert isinstance(model, BiEncoder)
            measured.setdefault(name, []).append(_on_gate(model, gate, scale))
    figures = {name: np.array(values) for name, values in measured.items()}
    whole = figures.pop(WHOLE)
    return [
        Left(
            name,
            int((agent == name).sum()),
            float(credit[name]["credit"]),
            loss=values[:, 0] - whole[:, 0],
            ndcg=whole[:, 1] - values[:, 1],
        )
        for name, values in figures.items()
    ]


def _head_scale(model: RelevanceModel) -> float:
    if not isinstance(model, BiEncoder):
        raise ConfigError("credit is told of bi-encoders alone.", "Set model.kind to biencoder.")
    return model.head.scale


def _on_gate(model: BiEncoder, gate: pd.DataFrame, scale: float) -> tuple[float, float]:
    """The gate's listwise loss, under the start's scale so that heads do not matter, and its NDCG@4."""
    data = examples(one_hot(gate), soft=False)
    cosines = model.cosines(data.queries, data.documents)
    loss = listwise(
        scale * torch.from_numpy(cosines),
        torch.from_numpy(data.targets),
        torch.from_numpy(data.groups),
        int(data.groups.max()) + 1,
    )
    return float(loss), float(per_query(gate, cosines)[ndcg_column(4)].mean())


def told(found: list[Left], seeds: int) -> str:
    """A table, and how far the estimate and the trainings agree."""
    table = pd.DataFrame(
        {
            "agent": [item.agent for item in found],
            "labels": [item.labels for item in found],
            "credit": [f"{item.credit:+.3f}" for item in found],
            "loss without": [f"{item.loss.mean():+.4f} ({item.loss.std(ddof=0):.4f})" for item in found],
            "NDCG@4 missed": [f"{100 * item.ndcg.mean():+.2f}" for item in found],
            "sign": ["agrees" if item.agrees else "differs" for item in found],
        }
    )
    agree = sum(item.agrees for item in found)
    text = f"{table.to_string(index=False)}\n{agree} of {len(found)} signs agree"
    if len(found) > 2:
        order = spearmanr([item.credit for item in found], [item.loss.mean() for item in found]).statistic
        text += f"; rank correlation {order:+.2f}"
    return f"{text} ({seeds} trainings each; the deviation over them in brackets)"


def main() -> None:
    parser = argparse.ArgumentParser(description="Credit against training without an agent's labels.")
    parser.add_argument("config", type=Path, help="a config, or the done.json of a benchmark's run")
    parser.add_argument("--round", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    settings = read_settings(given.config) if given.config.name == DONE else Settings.from_yaml(given.config)
    with Resources(settings) as resources:
        print(told(check(resources, given.round, given.seeds), given.seeds))


if __name__ == "__main__":
    main()
