"""What stochastic passes over a pool cost beside scoring the window, by MiniLM timed on some of its texts.

Queries and documents are timed apart, for they are of other lengths; how many distinct ones of each the
window and a pool have is counted. The lower layers' output may be kept when the window is scored, as a run
does on a CPU (`training.freeze_layers`, `storage.layer_states`); passes in upper layers then start from it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import process_time
from typing import Final

import numpy as np
import pandas as pd

from serm.core.settings_loop import ModelSettings, TrainingSettings
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.loading import open_base
from serm.relevance_model.lower import SharedLayers
from serm.relevance_model.pairs import CodedPairs

ROUNDS: Final = 2
"""Of which the faster reading counts: a busy machine slows some of them down."""
KEPT: Final = TrainingSettings().freeze_layers
_ROOM: Final = 2**30  # bytes for the states of the texts that are timed
_WARMING: Final = 8  # further texts: the first call builds what later ones find


@dataclass(frozen=True, slots=True)
class Way:
    """Passes with dropout in some upper layers (None: all), and what a text costs, in seconds."""

    layers: int | None
    kept: bool
    once: tuple[float, float]  # a query, a document: to score them
    noisy: tuple[float, float]  # all passes together

    def scoring(self, window: CodedPairs) -> float:
        return _sum(self.once, window)

    def passes(self, pool: CodedPairs) -> float:
        return _sum(self.noisy, pool)


def _sum(each: tuple[float, float], pairs: CodedPairs) -> float:
    return each[0] * len(pairs.queries) + each[1] * len(pairs.documents)


def timed_ways(window: CodedPairs, layers: Sequence[int | None], drawn: int, passes: int) -> list[Way]:
    """Every way that there is, on at most `drawn` queries and documents of the window."""
    some = [_some(texts, drawn) for texts in (window.queries, window.documents)]
    rounds = [list(_round(some, layers, passes)) for _ in range(ROUNDS)]
    return [
        replace(
            readings[0],
            once=_least([reading.once for reading in readings]),
            noisy=_least([reading.noisy for reading in readings]),
        )
        for readings in zip(*rounds, strict=True)
    ]


def _least(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    queries, documents = (min(side) for side in zip(*times, strict=True))
    return queries, documents


def _round(some: Sequence[list[str]], layers: Sequence[int | None], passes: int) -> Iterator[Way]:
    yield from _timed(some, layers, passes, None)
    with tempfile.TemporaryDirectory(prefix="serm-passes-") as folder:
        yield from _timed(some, layers, passes, SharedLayers(KEPT, Path(folder), _ROOM))


def _timed(
    some: Sequence[list[str]], layers: Sequence[int | None], passes: int, shared: SharedLayers | None
) -> Iterator[Way]:
    model = open_base(ModelSettings(), None, shared)
    assert isinstance(model, BiEncoder)
    encoder = model.encoder
    upper = encoder.lower.upper if encoder.lower else 0
    once = _of_both(some, encoder.reader)  # first: it keeps what the passes then find

    def noisy(count: int | None) -> tuple[float, float]:
        dropout = partial(encoder.embed_under_dropout, passes=passes, seed=1, layers=count)
        return _of_both(some, dropout)

    for count in layers:
        if shared is None or (count is not None and count <= upper):
            yield Way(count, shared is not None, once, noisy(count))


def _some(texts: Sequence[str], drawn: int) -> list[str]:
    """Random texts, with some to begin with."""
    rows = np.random.default_rng(2).permutation(len(texts))[: drawn + _WARMING]
    return [texts[row] for row in rows]


def _of_both(some: Sequence[list[str]], read: Callable[[list[str]], object]) -> tuple[float, float]:
    """Seconds a query and a document."""
    queries, documents = (_seconds(texts, read) for texts in some)
    return queries, documents


def _seconds(texts: list[str], read: Callable[[list[str]], object]) -> float:
    first, rest = texts[:_WARMING], texts[_WARMING:]
    read(first)
    began = process_time()
    read(rest)
    return (process_time() - began) / len(rest)


def shares(
    window: CodedPairs, pools: Sequence[CodedPairs], ways: Sequence[Way], after: float
) -> pd.DataFrame:
    """A row a pool and way: what its passes, and all that comes after scoring, take of scoring's time.
    `after`: seconds of all that but the passes."""
    return pd.DataFrame(
        [
            {
                "pool": f"{len(pool):,}",
                "queries": f"{len(pool.queries):,}",
                "documents": f"{len(pool.documents):,}",
                "dropout in": "all layers" if way.layers is None else f"the upper {way.layers}",
                "lower layers": "kept" if way.kept else "once" if way.layers else "-",
                "scoring, s": round(way.scoring(window)),
                "passes, s": round(way.passes(pool)),
                "passes": f"{way.passes(pool) / way.scoring(window):.0%}",
                "all after scoring": f"{(after + way.passes(pool)) / way.scoring(window):.0%}",
            }
            for pool in pools
            for way in ways
        ]
    )
