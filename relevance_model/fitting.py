"""Fitting a head to cosines whose grades are known: after training, and on the gate's human grades."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from serm.relevance_model.base import FloatArray
from serm.relevance_model.head import OrdinalHead, TrainableHead, grade_log_probabilities

PRIOR = {"scale": 1.0, "threshold": 0.2, "bias": 1.0, "temperature": 1.0}
"""How far a fit may stray from what it starts from, chosen: standard deviations of the log scale, of the
thresholds in cosine, of the biases in logits and of a cross-encoder's log temperature. Together they weigh as
much as one query."""

TEMPERATURES = 3.0  # where the log temperature is looked for: between 0.05 and 20, chosen


def fit_head(
    start: OrdinalHead,
    cosines: NDArray[np.floating],
    targets: FloatArray,
    languages: Sequence[str],
    weights: NDArray[np.float64],
    *,
    queries: int,
) -> OrdinalHead:
    """The head that makes the targets most likely, pulled towards `start` by a prior worth one query. Its
    biases are around 0, each language weighing what its rows weigh.

    cosines (n,), targets (n, 4), languages (n), weights (n,) that sum to 1.
    """
    head = TrainableHead(start, languages).double()
    origin = TrainableHead(start, languages).double()
    x = torch.from_numpy(np.asarray(cosines, dtype=np.float64))
    y = torch.from_numpy(np.asarray(targets, dtype=np.float64))
    w = torch.from_numpy(weights)
    positions = head.positions(languages)
    position = torch.from_numpy(positions)
    optimizer = torch.optim.LBFGS(
        head.parameters(),
        max_iter=200,
        tolerance_grad=1e-9,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def loss() -> torch.Tensor:
        nll = -(w * (y * grade_log_probabilities(head(x, position))).sum(dim=1)).sum()
        return nll + _pull(head, origin) / max(queries, 1)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    shares = np.bincount(positions, weights, minlength=len(head.languages))
    return head.frozen(shares.astype(np.float64))


def fit_temperature(
    logits: FloatArray, targets: FloatArray, weights: NDArray[np.float64], *, queries: int
) -> float:
    """The temperature T that makes the targets most likely, P = softmax(logits / T) (Guo et al. 2017), its
    logarithm pulled towards 0 by a prior worth one query: of a few rows that are all right, or all wrong, the
    likeliest T has no end.

    logits and targets (n, 4), weights (n,) that sum to 1.
    """

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(np.asarray(logits, dtype=np.float64) / np.exp(log_temperature), axis=1)
        nll = -(weights * (targets * scaled).sum(axis=1)).sum()
        pull = (log_temperature / PRIOR["temperature"]) ** 2 / 2
        return float(nll + pull / max(queries, 1))

    found = minimize_scalar(loss, bounds=(-TEMPERATURES, TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


def _pull(head: TrainableHead, origin: TrainableHead) -> torch.Tensor:
    scale = ((head.scale.log() - origin.scale.log().detach()) / PRIOR["scale"]).square().sum()
    thresholds = ((head.thresholds - origin.thresholds.detach()) / PRIOR["threshold"]).square().sum()
    biases = ((head.bias - origin.bias.detach()) / PRIOR["bias"]).square().sum()
    return (scale + thresholds + biases) / 2
