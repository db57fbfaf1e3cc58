"""Is another label of a labelled pair worth more than a first label of a new one? ActiveLab's question.

Goh and Mueller 2023 (ActiveLab) give labelled and unlabelled pairs one scale: how likely the best guess at
the grade is right, from the judges' votes and the model's probabilities, each weighed by how well it does
(CROWDLAB, Goh, Tkachenko and Mueller 2022), and drawn to a guess at random by the weight of one judge. What
is least likely right is most worth asking. Judges count by how often they agree with each other, the model
by how often it agrees with the panel; both against always saying the commonest grade. Probabilities are taken
as they come: the model's are calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serm.core.records import N_GRADES

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

NO_VOTE: Final = -1
_LEAST: Final = 1e-3  # weight of a judge or a model that does no better than the commonest grade
_MOST_RIGHT: Final = 0.99  # of a judge's vote: a panel that always agreed may yet be wrong; chosen


@dataclass(frozen=True, slots=True)
class Trust:
    """How much is held of each judge and of the model."""

    judges: NDArray[np.float64]  # (J,)
    model: float
    right: float  # how often a vote is the panel's label

    @property
    def judge(self) -> float:
        """The average judge's."""
        return float(self.judges.mean()) if len(self.judges) else 1.0


def trust(votes: Ints, labels: Ints, probabilities: Floats) -> Trust:
    """What m labelled pairs tell of J judges and the model.

    votes (m, J) grades or `NO_VOTE`, labels (m,) the panel's grades, probabilities (m, 4) the model's.
    """
    voted = votes != NO_VOTE
    if not voted.any():
        return Trust(np.ones(votes.shape[1]), 1.0, _MOST_RIGHT)
    agrees = (votes == labels[:, None]) & voted
    commonest = float(np.bincount(labels, minlength=N_GRADES).max() / len(labels))
    of_model = float((probabilities.argmax(axis=1) == labels).mean())
    each = np.array([_agreement(votes, judge) for judge in range(votes.shape[1])])
    many = float(np.sqrt(voted.sum(axis=1).mean()))
    return Trust(
        judges=np.array([_weight(value, commonest) for value in each]),
        model=_weight(of_model, commonest) * many,
        right=min(float(agrees[voted].mean()), _MOST_RIGHT),
    )


def worth_again(votes: Ints, labels: Ints, probabilities: Floats, held: Trust) -> NDArray[np.float64]:
    """How unsure the label of each of m labelled pairs is, 0 to 1. (m,), arguments as in `trust`."""
    voted = votes != NO_VOTE
    wrong = (1.0 - held.right) / (N_GRADES - 1)
    says = np.where(votes == labels[:, None], held.right, wrong)  # the chance it leaves to the label
    weights = np.where(voted, held.judges[None, :], 0.0)
    of_model = np.take_along_axis(np.asarray(probabilities, np.float64), labels[:, None], axis=1)[:, 0]
    weight = weights.sum(axis=1) + held.model
    quality = ((weights * says).sum(axis=1) + held.model * of_model) / weight
    return np.asarray(1.0 - (weight * quality + held.judge / N_GRADES) / (weight + held.judge))


def worth_first(probabilities: Floats, held: Trust) -> NDArray[np.float64]:
    """The same for pairs without a label: how unsure the model's best guess is. (n, 4) -> (n,)."""
    best = np.asarray(probabilities, np.float64).max(axis=1, initial=0.0)
    return np.asarray(1.0 - (held.model * best + held.judge / N_GRADES) / (held.model + held.judge))


def worth_more(again: Floats, first: Floats, budget: int, most: int) -> Ints:
    """Which labelled pairs to ask again: those among the `budget` of all pairs that are most worth asking,
    the most worth first, `most` of them at most. A tie goes to the new pair."""
    room = min(budget, most)
    if room <= 0 or not len(again):
        return np.empty(0, dtype=np.int64)
    order = np.argsort(-again, kind="stable")[:room]
    ranked = np.sort(first)[::-1]
    taken = 0
    for row in order:
        loser = budget - taken - 1
        if loser < len(ranked) and again[row] <= ranked[loser]:
            break
        taken += 1
    return np.asarray(order[:taken], dtype=np.int64)


def _agreement(votes: Ints, judge: int) -> float:
    """How often a judge agrees with another one that graded the same pair; 1 where there is none."""
    own = votes[:, [judge]]
    both = (votes != NO_VOTE) & (own != NO_VOTE)
    both[:, judge] = False
    return float((votes == own)[both].mean()) if both.any() else 1.0


def _weight(right: float, commonest: float) -> float:
    """1 for one that is always right, next to nothing for one no better than always the commonest grade."""
    return max(1.0 - (1.0 - right) / max(1.0 - commonest, _LEAST), _LEAST)
