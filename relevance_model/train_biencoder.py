"""Fine-tuning of a bi-encoder: ordinal cross-entropy, and a listwise term within a query."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from serm.core.settings_loop import TrainingSettings
from serm.relevance_model.batches import Rows, plan
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.examples import Examples
from serm.relevance_model.finetune import Progress, finetune
from serm.relevance_model.fitting import fit_head
from serm.relevance_model.head import TrainableHead, grade_log_probabilities
from serm.relevance_model.layers import average_into, freeze, lift, put_back
from serm.relevance_model.losses import cross_entropy, listwise
from serm.relevance_model.lower import LowerLayers, replayed
from serm.relevance_model.tokens import token_batches

HEAD_RATE = 1e-3  # learning rate of the head's few numbers, chosen
CHUNK = 64  # texts a forward pass, at most; chosen


def train_biencoder(
    start: BiEncoder,
    data: Examples,
    training: TrainingSettings,
    *,
    seed: int,
    epochs: int,
    progress: Progress | None = None,
) -> BiEncoder:
    """Fit the head, train encoder and head together, average with the start, and fit the head again.

    `epochs` 0 fits the head alone. `start` stays as it is.
    """
    model = refit(start, data)
    if epochs == 0:
        return model
    loss, lifted = trainable(model, data, training)
    finetune(
        loss,
        plan(data, training, epochs, np.random.default_rng(seed)),
        training,
        model.encoder.compute,
        seed=seed,
        rates={"head.": HEAD_RATE},
        progress=progress,
    )
    network = loss.network
    if lifted:
        put_back(network, lifted)
    network.requires_grad_(True)
    average_into(network, start.encoder.model, training.average)
    trained = replace(model, encoder=model.encoder.with_model(network), head=loss.head.frozen())
    return refit(trained, data)


def trainable(
    model: BiEncoder, data: Examples, training: TrainingSettings
) -> tuple[PairLoss, list[torch.nn.Module]]:
    """The loss of a copy of the model's network and head, and the layers that were lifted out of the copy:
    those that models share, where this training leaves them as they are."""
    network = model.encoder.copy_model()
    freeze(network, training.freeze_layers)
    lower = model.encoder.lower
    if lower is not None and lower.layers > training.freeze_layers:
        lower = None
    lifted = [] if lower is None else lift(network, lower.layers, outputs=lower.outputs)
    head = TrainableHead(model.head, data.languages)
    return PairLoss(network, head, model, data, training, lower=lower), lifted


def refit(model: BiEncoder, data: Examples) -> BiEncoder:
    """The same encoder with the head that fits `data` best, every query weighing the same."""
    head = fit_head(
        model.head,
        model.cosines(data.queries, data.documents),
        data.targets,
        data.languages,
        data.query_weights(),
        queries=len(np.unique(data.groups)),
    )
    return replace(model, head=head)


class PairLoss(torch.nn.Module):
    """Loss of one batch, a list of row lists; each distinct text of the batch is encoded once."""

    def __init__(
        self,
        network: SentenceTransformer,
        head: TrainableHead,
        model: BiEncoder,
        data: Examples,
        training: TrainingSettings,
        *,
        lower: LowerLayers | None = None,
    ) -> None:
        """`lower`: what the network's own lower layers were before they were lifted out of it."""
        super().__init__()
        self.network, self.head = network, head
        self._lower = lower
        self._weight = training.listwise
        self._device = model.encoder.compute.device
        self._queries = [model.query_prefix + text for text in data.queries]
        self._documents = [model.document_prefix + text for text in data.documents]
        self._targets = torch.from_numpy(data.targets)
        self._languages = torch.from_numpy(head.positions(data.languages))
        if lower is not None:
            lower.keep([*self._queries, *self._documents])

    def forward(self, batch: list[Rows]) -> torch.Tensor:
        rows = np.concatenate(batch)
        lists = torch.from_numpy(np.repeat(np.arange(len(batch)), [len(item) for item in batch]))
        lists = lists.to(self._device)
        queries = [self._queries[row] for row in rows]
        documents = [self._documents[row] for row in rows]
        texts = sorted({*queries, *documents}, key=lambda text: (len(text), text))
        position = {text: number for number, text in enumerate(texts)}
        vectors = self._encode(texts)
        left = vectors[[position[text] for text in queries]]
        cosines = (left * vectors[[position[text] for text in documents]]).sum(dim=1)
        targets = self._targets[rows].to(self._device)
        with torch.autocast(self._device.split(":")[0], enabled=False):
            logits = self.head(cosines, self._languages[rows].to(self._device))
            loss = cross_entropy(grade_log_probabilities(logits), targets)
            if self._weight:
                # The head's scale gives cosines the unit of grades' logits; this term does not train it.
                order = listwise(self.head.scale.detach() * cosines, targets, lists, len(batch))
                loss = loss + self._weight * order
        return loss

    def _encode(self, texts: list[str]) -> torch.Tensor:
        rows: list[int] = []
        parts: list[torch.Tensor] = []
        if self._lower is None:
            batches = token_batches(self.network, texts, CHUNK, self._device, fewest=1)
        else:
            batches = replayed(self.network, self._lower.states(texts), CHUNK, self._device, fewest=1)
        for numbers, features in batches:
            rows.extend(numbers)
            parts.append(self.network(features)["sentence_embedding"][: len(numbers)].float())
        order = torch.from_numpy(np.argsort(rows)).to(self._device)
        return torch.nn.functional.normalize(torch.cat(parts)[order], dim=1)
