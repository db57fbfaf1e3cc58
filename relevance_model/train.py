"""Training and calibration, whatever the kind of model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pandas as pd

from serm.core.errors import ModelError
from serm.core.settings_loop import TrainingSettings
from serm.relevance_model.base import RelevanceModel
from serm.relevance_model.examples import examples
from serm.relevance_model.finetune import Progress
from serm.relevance_model.train_biencoder import refit, train_biencoder
from serm.relevance_model.train_crossencoder import temper, train_crossencoder

_TRAINERS: Final[dict[str, Callable[..., Any]]] = {
    "biencoder": train_biencoder,
    "crossencoder": train_crossencoder,
}
_CALIBRATORS: Final[dict[str, Callable[..., Any]]] = {"biencoder": refit, "crossencoder": temper}


def train(
    start: RelevanceModel,
    snapshot: pd.DataFrame,
    training: TrainingSettings,
    *,
    seed: int,
    epochs: int | None = None,
    progress: Progress | None = None,
) -> RelevanceModel:
    """Another model, trained on a snapshot from `start` on.

    `epochs`: the settings' where None; 0 fits the head alone.

    The same start, snapshot, settings and seed give the same model id. Raises ModelError for an empty
    snapshot and where training diverges.
    """
    data = examples(snapshot, soft=training.soft_targets)
    model: RelevanceModel = _of(_TRAINERS, start)(
        start,
        data,
        training,
        seed=seed,
        epochs=training.epochs if epochs is None else epochs,
        progress=progress,
    )
    return model


def calibrate(model: RelevanceModel, gate: pd.DataFrame) -> RelevanceModel:
    """The same encoder with probabilities that fit the gate's human grades, every query weighing the same.

    A bi-encoder gets the scale (its temperature), the thresholds and the biases that fit best: the order of
    a query's documents in one language cannot change. A cross-encoder gets a temperature. Without gate rows
    the model comes back as it is.
    """
    if gate.empty:
        return model
    calibrated: RelevanceModel = _of(_CALIBRATORS, model)(model, examples(gate, soft=False))
    return calibrated


def _of(table: dict[str, Callable[..., Any]], model: RelevanceModel) -> Callable[..., Any]:
    if model.kind not in table:
        raise ModelError(f"a model of kind {model.kind} cannot be trained.", f"Kinds: {', '.join(table)}.")
    return table[model.kind]
