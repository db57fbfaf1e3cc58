"""Fine-tuning of a cross-encoder: cross-entropy over the four grades."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from sentence_transformers import CrossEncoder

from serm.core.settings_loop import TrainingSettings
from serm.relevance_model.batches import Rows, plan
from serm.relevance_model.crossencoder import CrossEncoderModel
from serm.relevance_model.examples import Examples
from serm.relevance_model.finetune import Progress, finetune
from serm.relevance_model.fitting import fit_temperature
from serm.relevance_model.layers import average_into, freeze
from serm.relevance_model.losses import cross_entropy
from serm.relevance_model.tokens import token_batches

CHUNK = 32  # pairs a forward pass, at most; chosen
HEAD_RATE = 1e-3  # learning rate of the classifier where it is trained alone, chosen


def train_crossencoder(
    start: CrossEncoderModel,
    data: Examples,
    training: TrainingSettings,
    *,
    seed: int,
    epochs: int,
    progress: Progress | None = None,
) -> CrossEncoderModel:
    """Train, and average the transformer with the start's; the classifier, which may be new, is not averaged.

    `epochs` 0 trains the classifier alone, for `training.epochs` epochs. `start` stays as it is.
    """
    with start.texts.lock:
        network = copy.deepcopy(start.network)
    alone = epochs == 0
    if alone:
        network.model.base_model.requires_grad_(False)
    else:
        freeze(network, training.freeze_layers)
    finetune(
        GradeLoss(network, start, data),
        plan(data, training, training.epochs if alone else epochs, np.random.default_rng(seed)),
        training,
        start.compute,
        seed=seed,
        rates={"": HEAD_RATE} if alone else {},
        progress=progress,
    )
    network.requires_grad_(True)
    average_into(network.model.base_model, start.network.model.base_model, training.average)
    return replace(start, network=network, temperature=1.0)


def temper(model: CrossEncoderModel, data: Examples) -> CrossEncoderModel:
    """The same weights with the temperature that makes `data` most likely, every query weighing the same."""
    temperature = fit_temperature(
        model.logits(data.queries, data.documents),
        data.targets,
        data.query_weights(),
        queries=len(np.unique(data.groups)),
    )
    return replace(model, temperature=temperature)


class GradeLoss(torch.nn.Module):
    """Loss of one batch, a list of row lists."""

    def __init__(self, network: CrossEncoder, model: CrossEncoderModel, data: Examples) -> None:
        super().__init__()
        self.network = network
        self._pairs = model.pairs(data.queries, data.documents)
        self._targets = torch.from_numpy(data.targets)
        self._device = model.compute.device

    def forward(self, batch: list[Rows]) -> torch.Tensor:
        rows = np.concatenate(batch)
        pairs = [self._pairs[row] for row in rows]
        total = torch.zeros((), device=self._device)
        for numbers, features in token_batches(self.network, pairs, CHUNK, self._device, fewest=1):
            logits = self.network(features)["scores"].float()
            targets = self._targets[rows[numbers]].to(self._device)
            total = total + cross_entropy(torch.log_softmax(logits, dim=1), targets) * len(numbers)
        return total / len(rows)
