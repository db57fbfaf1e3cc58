"""How a loss would change with each pair's cosine: what a label asks of the encoder, pair by pair."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from serm.relevance_model.base import FloatArray
from serm.relevance_model.examples import Examples
from serm.relevance_model.head import OrdinalHead, TrainableHead, grade_log_probabilities
from serm.relevance_model.losses import cross_entropy, listwise


def loss_slopes(
    head: OrdinalHead, cosines: FloatArray, data: Examples, *, ordinal: float, order: float
) -> NDArray[np.float64]:
    """d loss / d cosine of n pairs, (n,), where the loss is `ordinal` times the cross-entropy of the grades
    plus `order` times the listwise term within each query, as in training, all pairs in one batch."""
    fixed = TrainableHead(head, data.languages).double()
    values = torch.tensor(np.asarray(cosines, dtype=np.float64), requires_grad=True)
    targets = torch.from_numpy(np.asarray(data.targets, dtype=np.float64))
    lists = torch.from_numpy(data.groups)
    logits = fixed(values, torch.from_numpy(fixed.positions(data.languages)))
    loss = ordinal * cross_entropy(grade_log_probabilities(logits), targets)
    count = int(data.groups.max(initial=-1)) + 1
    loss = loss + order * listwise(fixed.scale.detach() * values, targets, lists, count)
    (slopes,) = torch.autograd.grad(loss, values)
    return np.asarray(slopes.numpy(), dtype=np.float64)
