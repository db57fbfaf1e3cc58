"""Batches of whole queries, put together so that documents which queries share meet in one batch.

A batch encodes each distinct text once, so a batch of queries over one article costs little more than the
article: on questions over shared paragraphs this made a round seven times cheaper.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from serm.core.records import GRADES
from serm.core.settings_loop import TrainingSettings
from serm.relevance_model.examples import Examples
from serm.relevance_model.sharing import Sharing

Rows = NDArray[np.int64]


def plan(
    data: Examples, training: TrainingSettings, epochs: int, rng: np.random.Generator
) -> list[list[Rows]]:
    """The batches of all epochs; each epoch deals the rows out anew."""
    expected = data.targets @ np.asarray(GRADES, dtype=np.float32)
    return [
        batch
        for _ in range(epochs)
        for batch in batches(
            query_lists(data.groups, expected, training.documents_per_query, rng),
            data.documents,
            training.queries_per_batch,
            rng,
        )
    ]


def query_lists(
    groups: NDArray[np.int64], expected: NDArray[np.floating], size: int, rng: np.random.Generator
) -> list[Rows]:
    """Row numbers of each query, (n,) groups -> lists of at most `size`; every row is in exactly one.

    A longer query is dealt out in equal parts that all span its grades, for a list without a spread of
    grades teaches no order. `expected`: (n,), the grades that the targets expect.
    """
    lists: list[Rows] = []
    order = rng.permutation(len(groups))
    order = order[np.lexsort((-expected[order], groups[order]))]  # stable: ties stay shuffled
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        parts = -(-len(rows) // size)
        lists.extend(rows[start::parts] for start in range(parts))
    return lists


def batches(
    lists: Sequence[Rows], documents: Sequence[Hashable], per_batch: int, rng: np.random.Generator
) -> list[list[Rows]]:
    """Lists into batches of at most `per_batch`, those that share most documents together."""
    queue = iter(rng.permutation(len(lists)).tolist())
    sharing = Sharing(lists, documents, per_batch)
    result: list[list[Rows]] = []
    while True:
        batch: list[Rows] = []
        while len(batch) < per_batch:
            chosen = sharing.nearest()
            if chosen is None:
                chosen = next((item for item in queue if not sharing.used(item)), None)
            if chosen is None:
                break
            sharing.take(chosen)
            batch.append(lists[chosen])
        if not batch:
            break
        sharing.end_batch()
        result.append(batch)
    return [result[int(item)] for item in rng.permutation(len(result))]
