"""Position-based click model: P(click) = P(examined | position) x P(attractive | pair), fitted by EM.

Source: Craswell et al. 2008; Chuklin, Markov and de Rijke, Click Models for Web Search, 2015. A log that
shows a pair at one position only cannot tell the two factors apart, so pairs share their attractiveness by
`group` when propensities are fitted (regression EM, Wang et al., WSDM 2018): the group of a pair is a bin of
the model's score, on the assumption that within a bin the position says nothing more of attractiveness.

EM starts where both factors explain the clicks as a product alone (Poisson, alternately), which is the fit
itself where clicks are rare: from the plain click rates it needs thousands of steps there, or stays where it
is, for an examination of 1 never changes. Positions that were hardly shown are fitted with their neighbours
(`LEAST_CLICKS`): of one that was shown once and clicked once nothing is known, and all others are relative to
the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRIOR = 10.0  # impressions at full examination that the group's attractiveness is worth; chosen
SCORE_GROUPS = 20  # chosen
LEAST_CLICKS = 10.0  # that the log's own click rate expects at a position that is fitted by itself; chosen
_SMALL = 1e-9
_FIRST_STEPS = 500
_INSIDE = 0.95  # neither factor starts nearer to 1, from which EM would not move it


@dataclass(frozen=True, slots=True)
class ClickModel:
    """Propensities (k,) of positions 1..k, relative to the largest, and attractiveness (g,) of the groups."""

    propensity: Floats
    attractiveness: Floats
    iterations: int
    log_likelihood: float
    converged: bool = True  # within the tolerance, before the steps were used up


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
    of_position = np.bincount(position - 1, impressions).astype(np.float64)
    place = _places(of_position, float(clicks.sum() / max(impressions.sum(), _SMALL)))
    column = place[position - 1]
    shape = int(group.max()) + 1, int(place.max()) + 1
    shown, clicked = np.zeros(shape), np.zeros(shape)
    np.add.at(shown, (group, column), impressions)
    np.add.at(clicked, (group, column), clicks)
    skipped = shown - clicked
    by_position = np.maximum(shown.sum(axis=0), _SMALL)
    by_group = np.maximum(shown.sum(axis=1), _SMALL)
    theta, alpha = _start(shown, clicked)
    done, change = 0, 0.0
    for done in range(1, iterations + 1):  # noqa: B007
        none = np.maximum(1.0 - theta * alpha[:, None], _SMALL)
        examined = clicked + skipped * theta * (1.0 - alpha[:, None]) / none
        attractive = clicked + skipped * alpha[:, None] * (1.0 - theta) / none
        new_theta = examined.sum(axis=0) / by_position
        new_alpha = attractive.sum(axis=1) / by_group
        change = float(max(np.abs(new_theta - theta).max(), np.abs(new_alpha - alpha).max()))
        theta, alpha = new_theta, new_alpha
        if change < tolerance:
            break
    rate = np.clip(theta * alpha[:, None], _SMALL, 1.0 - _SMALL)
    likelihood = float((clicked * np.log(rate) + skipped * np.log(1.0 - rate)).sum())
    top = max(
        float(theta.max()), _SMALL
    )  # only the product is identified: the best-seen position counts as 1
    return ClickModel(
        (theta / top)[place], np.clip(alpha * top, 0.0, 1.0), done, likelihood, change < tolerance
    )


def _places(shown: Floats, rate: float) -> Ints:
    """(k,) impressions of each position -> (k,) what they are fitted as, from 0: runs of neighbours that were
    shown often enough to expect `LEAST_CLICKS` at the log's click rate; what is left over is of the last."""
    found = np.zeros(len(shown), dtype=np.int64)
    run, expected = 0, 0.0
    for position, impressions in enumerate(shown):
        found[position] = run
        expected += rate * impressions
        if expected >= LEAST_CLICKS:
            run, expected = run + 1, 0.0
    return np.minimum(found, max(run - 1, 0))


def _start(shown: Floats, clicked: Floats) -> tuple[Floats, Floats]:
    """(places,) examination and (groups,) attractiveness whose product explains the clicks best as counts."""
    of_place, of_group = clicked.sum(axis=0), clicked.sum(axis=1)
    theta = np.ones(shown.shape[1])
    for _ in range(_FIRST_STEPS):
        alpha = of_group / np.maximum(shown @ theta, _SMALL)
        theta = of_place / np.maximum(alpha @ shown, _SMALL)
        theta /= max(float(theta.max()), _SMALL)
    alpha = of_group / np.maximum(shown @ theta, _SMALL)
    scale = float(np.sqrt(max(alpha.max(), _SMALL)))  # the two factors share what is above 0 and below 1
    theta, alpha = np.minimum(theta * scale, _INSIDE), np.minimum(alpha / scale, _INSIDE)
    return np.maximum(theta, _SMALL), np.maximum(alpha, _SMALL)


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
