"""Which of the pairs that the panel dropped a person is asked about, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from serm.core.hashing import unit_interval
from serm.core.records import PairKey


def review_order(
    keys: Sequence[PairKey],
    distributions: npt.ArrayLike,
    votes: Sequence[Sequence[int]],
    limit: int,
) -> list[int]:
    """The places of at most `limit` pairs, the most informative queries first, a query's pairs together.

    The most informative pair is the one whose answer the panel foretells least: the highest entropy of its
    distribution, shape (n, 4), vote shares or a posterior; where that ties, the widest spread of `votes`
    (0 against 3 before 1 against 2); where that ties as well, chance by the pair's hash, so that neither
    the window's order nor a second run changes the choice. Who reads a query once grades all its documents.
    """
    shares = np.asarray(distributions, dtype=np.float64).reshape(len(keys), -1)
    surprise = -np.sum(shares * np.log(np.where(shares > 0, shares, 1.0)), axis=1)
    ranked = sorted(
        range(len(keys)),
        key=lambda place: (
            -round(float(surprise[place]), 9),  # sums of the same shares in another order are a tie
            -(max(votes[place]) - min(votes[place]) if votes[place] else 0),
            unit_interval("review", *keys[place]),
        ),
    )[: max(0, limit)]
    first: dict[str, int] = {}
    for rank, place in enumerate(ranked):
        first.setdefault(keys[place].query_id, rank)
    return sorted(ranked, key=lambda place: first[keys[place].query_id])  # stable: inside a query by rank
