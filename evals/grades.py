"""How well grade distributions match human grades: accuracy, balanced accuracy, kappa, Brier, calibration.

Every query weighs the same: a pair counts 1 / (pairs of its query), in every one of these measures. Pools
differ in depth by a factor of seven (trec-dl: 80 to 582 pairs), and the deepest would otherwise be the
result. Pass `weights` of ones for the figures over pairs, as kappa is often published.

All of them are functions of a few sums a query (`QuerySums`), so a bootstrap over queries only adds them up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from serm.core.records import GRADES, N_GRADES
from serm.evals.measures import checked_grades

Floats = NDArray[np.float64]

BINS: Final = 15  # of confidence, equally wide, as usual since Guo et al. (2017)
_SQUARED_DISTANCE: Final = np.subtract.outer(GRADES, GRADES) ** 2 / (N_GRADES - 1) ** 2


@dataclass(frozen=True, slots=True)
class QuerySums:
    """What the measures are made of, a row a query."""

    confusion: Floats  # (queries, 4 human grades, 4 predicted grades): weights
    brier: Floats  # (queries,): weighted sum of squared errors of the distribution
    calibration: Floats  # (queries, bins): weighted sum of (right - confidence)

    def total(self) -> Floats:
        """(queries,): the weight of each query."""
        return np.asarray(self.confusion.sum(axis=(1, 2)))


def predicted_grades(probabilities: ArrayLike) -> NDArray[np.int64]:
    """The likeliest grade of each row of (n, 4), the lower one of two that are as likely: (n,)."""
    return np.asarray(np.asarray(probabilities).argmax(axis=1), dtype=np.int64)


def query_sums(frame: pd.DataFrame, probabilities: ArrayLike, weights: ArrayLike | None = None) -> QuerySums:
    """Sums over each query of a graded frame (n rows) under the distributions (n, 4)."""
    grades = checked_grades(frame)
    given = np.asarray(probabilities, dtype=np.float64)
    if given.shape != (len(grades), N_GRADES):
        raise ValueError(f"{len(grades)} pairs and distributions of shape {given.shape}")
    codes, queries = pd.factorize(frame["query_id"])
    n = len(queries)
    if weights is None:
        weight = 1 / np.bincount(codes, minlength=n)[codes]
    else:
        weight = np.asarray(weights, dtype=np.float64)
    predicted = predicted_grades(given)
    cell = (codes * N_GRADES + grades) * N_GRADES + predicted
    confusion = np.bincount(cell, weight, minlength=n * N_GRADES**2).reshape(n, N_GRADES, N_GRADES)
    squared = ((given - np.eye(N_GRADES)[grades]) ** 2).sum(axis=1)
    confidence = given.max(axis=1)
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    off = weight * ((predicted == grades) - confidence)
    return QuerySums(
        confusion.astype(np.float64),
        np.bincount(codes, weight * squared, minlength=n).astype(np.float64),
        np.bincount(codes * BINS + place, off, minlength=n * BINS).reshape(n, BINS).astype(np.float64),
    )


def accuracy(sums: QuerySums, counts: Floats) -> Floats:
    """Share of pairs whose likeliest grade is the human one. `counts` (b, queries) -> (b,); so all below."""
    table = _confusion(sums, counts)
    return _divide(np.trace(table, axis1=1, axis2=2), table.sum(axis=(1, 2)))


def balanced_accuracy(sums: QuerySums, counts: Floats) -> Floats:
    """The mean over the human grades that occur of the share found. One answer for all: 1 / grades."""
    table = _confusion(sums, counts)
    of_grade = table.sum(axis=2)
    recall = np.nan_to_num(_divide(np.diagonal(table, axis1=1, axis2=2), of_grade))
    return _divide(recall.sum(axis=1), (of_grade > 0).sum(axis=1).astype(np.float64))


def quadratic_kappa(sums: QuerySums, counts: Floats) -> Floats:
    """Cohen's kappa with quadratic weights (1968): 1 agrees, 0 as by chance. NaN: one grade in both."""
    table = _confusion(sums, counts)
    observed = (table * _SQUARED_DISTANCE).sum(axis=(1, 2))
    chance = np.einsum("bi,bj,ij->b", table.sum(axis=2), table.sum(axis=1), _SQUARED_DISTANCE)
    return np.round(1 - _divide(observed * table.sum(axis=(1, 2)), chance), 12)


def brier(sums: QuerySums, counts: Floats) -> Floats:
    """Squared error of the distribution, summed over grades (Brier 1950): 0 the best, 2 the worst."""
    return _divide(counts @ sums.brier, counts @ sums.total())


def calibration_error(sums: QuerySums, counts: Floats) -> Floats:
    """Expected calibration error of the likeliest grade: the mean gap to its accuracy over bins."""
    return _divide(np.abs(counts @ sums.calibration).sum(axis=1), counts @ sums.total())


MEASURES: Final = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "qwk": quadratic_kappa,
    "brier": brier,
    "ece": calibration_error,
}


def grade_measures(sums: QuerySums) -> dict[str, float]:
    """Every measure over all the queries; NaN where it is not defined."""
    once = np.ones((1, len(sums.brier)))
    return {name: float(measure(sums, once)[0]) for name, measure in MEASURES.items()}


def always_commonest(sums: QuerySums) -> tuple[int, dict[str, float]]:
    """The human grade with the most weight, and the measures of a model that gives it to every pair, surely.

    With a share s of the weight: accuracy s, balanced accuracy 1 / grades that occur, kappa 0 (NaN where
    there is one grade only), Brier 2 (1 - s), calibration error 1 - s. Without a pair: -1 and NaN.
    """
    weight = sums.confusion.sum(axis=(0, 2))
    if not weight.sum() > 0:
        return -1, dict.fromkeys(MEASURES, math.nan)
    grade = int(weight.argmax())
    occurring = int((weight > 0).sum())
    share = float(weight[grade] / weight.sum())
    return grade, {
        "accuracy": share,
        "balanced_accuracy": 1 / occurring,
        "qwk": 0.0 if occurring > 1 else math.nan,
        "brier": 2 * (1 - share),
        "ece": 1 - share,
    }


def _confusion(sums: QuerySums, counts: Floats) -> Floats:
    """(b, 4 human, 4 predicted)"""
    flat = counts @ sums.confusion.reshape(len(sums.brier), N_GRADES**2)
    return np.asarray(flat.reshape(len(counts), N_GRADES, N_GRADES))


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    """NaN where the denominator is not above 0."""
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
