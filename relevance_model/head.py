"""The ordinal head: from the cosine of a query and a document to a distribution over grades.

P(y >= k) = sigmoid(scale (cosine - t_k) + bias of the language), k = 1, 2, 3, with t_1 < t_2 < t_3: the
proportional-odds model (McCullagh 1980). The expected grade grows with the cosine, so within a query and a
language nothing here can change a ranking. A language that the head has not met, or none, has bias 0: the
mean of the others, for what biases have in common is in the thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from serm.core.errors import ModelError
from serm.core.records import N_GRADES
from serm.relevance_model.base import FloatArray

MIN_SCALE = 0.1  # per unit of cosine, chosen: the head stays increasing in the cosine
MIN_GAP = 1e-3  # cosine between two thresholds, chosen: no grade's probability is ever 0


@dataclass(frozen=True, slots=True)
class OrdinalHead:
    """Fitted numbers. The defaults are chosen for an encoder that nobody has fitted a head to."""

    scale: float = 10.0
    thresholds: tuple[float, float, float] = (0.4, 0.55, 0.7)
    biases: tuple[tuple[str, float], ...] = ()  # (language, bias), sorted by language

    def __post_init__(self) -> None:
        if not (self.scale > 0 and self.thresholds[0] < self.thresholds[1] < self.thresholds[2]):
            raise ValueError(f"a head needs a positive scale and ordered thresholds: {self}")

    def probabilities(
        self, cosines: NDArray[np.floating], languages: Sequence[str] | None = None
    ) -> FloatArray:
        """Cosines (n,) and languages (n) -> grade distributions (n, 4). Without languages all pairs are of
        none (""), as rows are that the head was fitted to and that had none."""
        biases = dict(self.biases)
        named = [""] * len(cosines) if languages is None else languages
        shift = np.array([biases.get(item, 0.0) for item in named]) if biases else 0.0
        z = self.scale * (np.asarray(cosines, dtype=np.float64)[:, None] - np.array(self.thresholds))
        at_least = np.pad(expit(z + np.reshape(shift, (-1, 1))), ((0, 0), (1, 1)))
        at_least[:, 0] = 1.0
        return np.asarray(at_least[:, :-1] - at_least[:, 1:], dtype=np.float32)

    def to_json(self) -> dict[str, Any]:
        return {"scale": self.scale, "thresholds": list(self.thresholds), "biases": dict(self.biases)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> OrdinalHead:
        first, second, third = (float(item) for item in value["thresholds"])
        biases = tuple(sorted((str(name), float(bias)) for name, bias in value["biases"].items()))
        return cls(float(value["scale"]), (first, second, third), biases)


UNTRAINED = OrdinalHead()


class TrainableHead(torch.nn.Module):
    """The same head as free parameters; scale and gaps pass a softplus, so any step keeps them valid."""

    def __init__(self, start: OrdinalHead, languages: Sequence[str] = ()) -> None:
        super().__init__()
        known = dict(start.biases)
        self.languages = tuple(sorted(set(languages) | set(known)))
        self.raw_scale = _parameter([_inverse_softplus(start.scale - MIN_SCALE)])
        self.first = _parameter([start.thresholds[0]])
        gaps = np.diff(start.thresholds)
        self.raw_gaps = _parameter([_inverse_softplus(float(gap) - MIN_GAP) for gap in gaps])
        self.bias = _parameter([known.get(name, 0.0) for name in self.languages])

    @property
    def scale(self) -> torch.Tensor:
        """(1,)"""
        return MIN_SCALE + torch.nn.functional.softplus(self.raw_scale)

    @property
    def thresholds(self) -> torch.Tensor:
        """(3,), increasing."""
        gaps = MIN_GAP + torch.nn.functional.softplus(self.raw_gaps)
        return torch.cat([self.first, self.first + torch.cumsum(gaps, dim=0)])

    def forward(self, cosines: torch.Tensor, language: torch.Tensor) -> torch.Tensor:
        """Cosines (n,), positions in `languages` (n,), -1 for none -> logits of y >= 1..3, (n, 3)."""
        padded = torch.cat([self.bias, self.bias.new_zeros(1)])  # position -1 is the last one
        logits: torch.Tensor = self.scale * (cosines[:, None] - self.thresholds) + padded[language][:, None]
        return logits

    def positions(self, languages: Sequence[str]) -> NDArray[np.int64]:
        """Languages (n) -> their positions (n,)."""
        at = {name: position for position, name in enumerate(self.languages)}
        return np.fromiter((at.get(item, -1) for item in languages), dtype=np.int64, count=len(languages))

    def frozen(self, shares: NDArray[np.float64] | None = None) -> OrdinalHead:
        """The head as it is now, its biases around 0.

        shares: (languages,), what each language weighs in their mean; None: all the same.
        """
        # In doubles on the CPU: not every device has them.
        thresholds = cast(list[float], self.thresholds.detach().cpu().double().tolist())
        biases = cast(list[float], self.bias.detach().cpu().double().tolist())
        scale = float(self.scale.detach().cpu().double().item())
        if not all(map(math.isfinite, (scale, *thresholds, *biases))):
            raise ModelError("training diverged: the head has no numbers.", "Lower `training.learning_rate`.")
        # All thresholds and all biases may move together and no known language's grades change: where nothing
        # holds that, what all languages have in common ends in the biases, and a new one would lack it.
        common = 0.0 if not biases else float(np.average(biases, weights=shares))
        first, second, third = (item - common / scale for item in thresholds)
        centred = (bias - common for bias in biases)
        return OrdinalHead(scale, (first, second, third), tuple(zip(self.languages, centred, strict=True)))


def grade_log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Logits of y >= 1..3, decreasing, (n, 3) -> log P(y = 0..3), (n, 4); exact where a probability is tiny.

    Uses sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)).
    """
    log_at_least = torch.nn.functional.logsigmoid(logits)
    log_below = torch.nn.functional.logsigmoid(-logits)
    gap = torch.log(-torch.expm1(logits[:, 1:] - logits[:, :-1]))
    middle = log_at_least[:, :-1] + log_below[:, 1:] + gap
    result = torch.cat([log_below[:, :1], middle, log_at_least[:, -1:]], dim=1)
    assert result.shape[1] == N_GRADES
    return result


def _parameter(values: Sequence[float]) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor(list(values), dtype=torch.float32))


def _inverse_softplus(value: float) -> float:
    value = max(value, 1e-6)
    return value + math.log(-math.expm1(-value))
