"""Which products a query is shown, and in which order: the shop's present search engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from serm.benchmarks.marketplace.grades import NOT_ASKED, Relation
from serm.benchmarks.marketplace.settings import Retriever


def candidates(
    relation: NDArray[np.int8],
    fits: NDArray[np.int64],
    *,
    barred: NDArray[np.bool_],
    target: NDArray[np.int64],
    settings: Retriever,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Indices (Q, C) of each query's candidates among the P products, in no order that means anything.

    `relation` and `fits` (asked attributes that fit) are (Q, P); `barred` (Q, P) marks products that the
    query was shown in an earlier window; `target` (Q,) is always among the candidates: somebody found it.
    """
    score = type_weights(settings)[relation] + settings.attribute * fits
    score += settings.noise * rng.gumbel(size=score.shape)
    score[barred] = -np.inf
    score[np.arange(len(target)), target] = np.inf
    found = np.argpartition(-score, settings.candidates - 1, axis=1)[:, : settings.candidates]
    return np.sort(found, axis=1)


def ranking(
    relation: NDArray[np.int8],
    fits: NDArray[np.int64],
    *,
    invented: NDArray[np.bool_],
    settings: Retriever,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Positions (Q, C), from 1, at which the candidates were shown; `relation` and `fits` are (Q, C).

    The engine understands an invented word less well, so it ranks by the attributes that it knows.
    """
    known = np.where(invented, settings.unknown_word, 1.0)[:, None]
    score = known * type_weights(settings)[relation] + settings.attribute * fits
    score += settings.ranking_noise * rng.gumbel(size=score.shape)
    order = np.argsort(-score, axis=1)
    positions = np.empty_like(order)
    np.put_along_axis(positions, order, np.arange(1, order.shape[1] + 1)[None, :], axis=1)
    return positions


def type_weights(settings: Retriever) -> NDArray[np.float64]:
    """(4,) by Relation."""
    weights = np.zeros(len(Relation))
    weights[[Relation.ACCESSORY, Relation.SIBLING, Relation.SAME]] = (
        settings.accessory,
        settings.sibling,
        settings.same_type,
    )
    return weights


def count_fits(asked: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many asked attributes each product fits: (Q, A) against (P, A) -> (Q, P)."""
    total = np.zeros((len(asked), len(values)), dtype=np.int64)
    for column in range(asked.shape[1]):
        wanted = asked[:, column, None]
        total += (wanted != NOT_ASKED) & (wanted == values[None, :, column])
    return total
