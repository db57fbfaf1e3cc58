"""The grade of a query and a product, by their attributes alone.

3 exact       the asked type, and every asked attribute fits
2 substitute  the asked type with an asked attribute that differs, or a sibling type
1 complement  an accessory of the asked type, or the type that the asked accessory belongs to
0 irrelevant  anything else, however many attributes fit
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from serm.benchmarks.marketplace.vocabulary import ProductType


class Relation(IntEnum):
    """What one product type is to another."""

    UNRELATED = 0
    ACCESSORY = 1  # either way round
    SIBLING = 2  # another main type of the same family
    SAME = 3


NOT_ASKED = -1


def relations(types: Sequence[ProductType]) -> NDArray[np.int8]:
    """(T, T) of Relation. Two accessories of one family are unrelated: a cable is no case."""
    table = np.full((len(types), len(types)), Relation.UNRELATED, dtype=np.int8)
    for row, one in enumerate(types):
        for column, other in enumerate(types):
            if row == column:
                table[row, column] = Relation.SAME
            elif one.family == other.family and one.accessory != other.accessory:
                table[row, column] = Relation.ACCESSORY
            elif one.family == other.family and not one.accessory:
                table[row, column] = Relation.SIBLING
    return table


def fitting(asked: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each asked attribute fits; True where none is asked. (..., A) against (..., A), broadcast."""
    return np.asarray((asked == NOT_ASKED) | (asked == values))


def grade(relation: NDArray[np.int8], all_fit: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Grades 0 to 3 of pairs, by the rule above."""
    return np.where((relation == Relation.SAME) & ~all_fit, Relation.SIBLING, relation).astype(np.int8)
