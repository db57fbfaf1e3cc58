"""Position-based click model: P(click) = P(examined | position) x P(attractive | pair), fitted by EM.

Source: Craswell et al. 2008; Chuklin, Markov and de Rijke, Click Models for Web Search, 2015. A log that
shows a pair at one position only cannot tell the two factors apart, so pairs share their attractiveness by
`group` when propensities are fitted (regression EM, Wang et al., WSDM 2018): the group of a pair is a bin of
the model's score, on the assumption that within a bin the position says nothing more of attractiveness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRIOR = 10.0  # impressions at full examination that the group's attractiveness is worth; chosen
SCORE_GROUPS = 20  # chosen
_SMALL = 1e-9


@dataclass(frozen=True, slots=True)
class ClickModel:
    """Propensities (k,) of positions 1..k, relative to the largest, and attractiveness (g,) of the groups."""

    propensity: Floats
    attractiveness: Floats
    iterations: int
    log_likelihood: float


def fit(
    position: Ints,
    group: Ints,
    impressions: Floats,
    clicks: Floats,
    *,
    iterations: int = 2_000,
    tolerance: float = 1e-6,
) -> ClickModel:
    """Fit by EM to n aggregates: how often one of `group` was shown and clicked at `position` (1 is the top).

    Raises ValueError where there is nothing to fit, or more clicks than impressions.
    """
    if not len(position):
        raise ValueError("there are no impressions to fit a click model to")
    if (clicks > impressions).any() or (position < 1).any() or (group < 0).any():
        raise ValueError("clicks within impressions, positions from 1 and groups from 0 are needed")
    shape = int(group.max()) + 1, int(position.max())
    shown, clicked = np.zeros(shape), np.zeros(shape)
    np.add.at(shown, (group, position - 1), impressions)
    np.add.at(clicked, (group, position - 1), clicks)
    skipped = shown - clicked
    by_position = np.maximum(shown.sum(axis=0), _SMALL)
    by_group = np.maximum(shown.sum(axis=1), _SMALL)
    theta = np.clip(clicked.sum(axis=0) / by_position, 0.01, 1.0)
    theta /= theta.max()
    alpha = np.clip(clicked.sum(axis=1) / by_group, 0.01, 0.99)
    done = 0
    for done in range(1, iterations + 1):  # noqa: B007
        none = np.maximum(1.0 - theta * alpha[:, None], _SMALL)
        examined = clicked + skipped * theta * (1.0 - alpha[:, None]) / none
        attractive = clicked + skipped * alpha[:, None] * (1.0 - theta) / none
        new_theta = examined.sum(axis=0) / by_position
        new_alpha = attractive.sum(axis=1) / by_group
        change = max(np.abs(new_theta - theta).max(), np.abs(new_alpha - alpha).max())
        theta, alpha = new_theta, new_alpha
        if change < tolerance:
            break
    rate = np.clip(theta * alpha[:, None], _SMALL, 1.0 - _SMALL)
    likelihood = float((clicked * np.log(rate) + skipped * np.log(1.0 - rate)).sum())
    top = max(
        float(theta.max()), _SMALL
    )  # only the product is identified: the best-seen position counts as 1
    return ClickModel(theta / top, np.clip(alpha * top, 0.0, 1.0), done, likelihood)


def attractiveness(
    model: ClickModel,
    position: Ints,
    group: Ints,
    impressions: Floats,
    clicks: Floats,
) -> Floats:
    """Attractiveness of each aggregate, drawn towards its group's where it was seldom shown. (n,), 0 to 1."""
    seen = impressions * model.propensity[position - 1]
    return np.minimum((clicks + PRIOR * model.attractiveness[group]) / (seen + PRIOR), 1.0)


def score_groups(expected: Floats, groups: int = SCORE_GROUPS) -> Ints:
    """Bin of each pair by the quantiles of the model's score. (n,) -> (n,), from 0 without gaps."""
    edges = np.unique(np.quantile(expected, np.linspace(0, 1, groups + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, expected), return_inverse=True)[1].astype(np.int64)
