"""Measures of two raters of one set of pairs, all functions of their confusion matrix.

Of b tables at once, (b, 4 human grades, 4 given grades): numbers of pairs, or their weights; -> (b,). NaN
where a measure is not defined: no pair, or one grade only in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serm.core.records import GRADES

Floats = NDArray[np.float64]

RELEVANT: Final = 2
"""The grade from which on a passage counts as relevant where two classes are asked for, as TREC DL does."""

_APART: Final = np.subtract.outer(GRADES, GRADES)
_RELEVANT: Final = np.array(GRADES) >= RELEVANT


def accuracy(tables: Floats) -> Floats:
    """Share of the pairs that were given the human grade."""
    return _divide(np.trace(tables, axis1=1, axis2=2), tables.sum(axis=(1, 2)))


def balanced_accuracy(tables: Floats) -> Floats:
    """The mean over the human grades that occur of the share found. One answer for all: 1 / grades."""
    human = tables.sum(axis=2)
    found = np.nan_to_num(_divide(np.diagonal(tables, axis1=1, axis2=2), human))
    return _divide(found.sum(axis=1), (human > 0).sum(axis=1).astype(np.float64))


def kappa(tables: Floats) -> Floats:
    """Cohen's kappa over the four grades (1960): 1 agrees, 0 as by chance."""
    return _weighted_kappa(tables, (_APART != 0).astype(np.float64))


def binary_kappa(tables: Floats) -> Floats:
    """Cohen's kappa of "relevant", grade 2 or 3, against the rest."""
    return _weighted_kappa(tables, np.not_equal.outer(_RELEVANT, _RELEVANT).astype(np.float64))


def quadratic_kappa(tables: Floats) -> Floats:
    """Cohen's kappa with quadratic weights (1968): a mistake by three grades is nine times one by one."""
    return _weighted_kappa(tables, (_APART**2).astype(np.float64))


MEASURES: Final[Mapping[str, Callable[[Floats], Floats]]] = {
    "accuracy": accuracy,
    "kappa": kappa,
    "binary_kappa": binary_kappa,
    "qwk": quadratic_kappa,
    "balanced_accuracy": balanced_accuracy,
}


def confusion(human: NDArray[np.int64], given: NDArray[np.int64]) -> Floats:
    """(4 human, 4 given): numbers of the n pairs."""
    flat = np.bincount(human * len(GRADES) + given, minlength=len(GRADES) ** 2)
    return flat.reshape(len(GRADES), len(GRADES)).astype(np.float64)


def _weighted_kappa(tables: Floats, disagreement: Floats) -> Floats:
    """1 - observed over expected disagreement."""
    observed = (tables * disagreement).sum(axis=(1, 2))
    chance = np.einsum("bi,bj,ij->b", tables.sum(axis=2), tables.sum(axis=1), disagreement)
    return 1 - _divide(observed * tables.sum(axis=(1, 2)), chance)


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
