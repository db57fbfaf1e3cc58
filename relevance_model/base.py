"""What a relevance model is to the rest of serm, whichever kind stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from serm.core.records import GRADES
from serm.relevance_model.pairs import CodedPairs

FloatArray = NDArray[np.float32]
Read = Callable[[Sequence[Any]], FloatArray]
"""n inputs of a network -> (n, d). May be sent to another process."""


def expected_grade(probabilities: FloatArray) -> FloatArray:
    """f(q, d) = sum over y of y P(y | q, d) (SERM, as summarised). (..., 4) -> (...), in grades, 0 to 3."""
    return np.asarray(probabilities @ np.asarray(GRADES, dtype=np.float32), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Scores:
    """Calibrated grade distributions of n pairs, and the score that ranks them."""

    probabilities: FloatArray  # (n, 4), rows sum to 1
    expected: FloatArray  # (n,), 0 to 3


class ShardMap(Protocol):
    """Applies `read` to every shard and gives the results in the order of the shards."""

    def __call__(self, read: Read, shards: Sequence[Sequence[Any]], /) -> Iterator[FloatArray]: ...


class RelevanceModel(Protocol):
    """Scores pairs. Immutable: training returns another model.

    `queries`, `documents` and `languages` are parallel lists, a row a pair; repeated texts are encoded once.
    """

    kind: str

    @property
    def id(self) -> str:
        """Content hash of weights, head and encoding settings."""

    @property
    def network(self) -> Any:
        """What reads texts: a SentenceTransformer or a CrossEncoder. Not to be changed."""

    @property
    def embeddings(self) -> Path | None:
        """The folder of the vectors that the network made; None where they are in memory alone."""

    @property
    def states(self) -> Path | None:
        """The folder of what its lower layers made of texts; None where it keeps nothing on disk."""

    def score(
        self, queries: Sequence[str], documents: Sequence[str], languages: Sequence[str] | None = None
    ) -> Scores:
        """Score n pairs."""

    def score_pairs(self, pairs: CodedPairs, shards: ShardMap = ...) -> Scores:
        """Score n pairs. What the network must read is cut into shards that `shards` maps over."""

    def ranking(self, probabilities: FloatArray) -> FloatArray:
        """(n, 4) probabilities that it gave -> (n,) scores, of which nothing that was fitted to the gate's
        grades can change the order: what the gate ranks by. For a bi-encoder they are the expected grades:
        its order can hang on the gate where one query has documents in several languages, by their biases."""

    def stochastic(
        self, pairs: CodedPairs, *, passes: int, seed: int, layers: int | None = None
    ) -> FloatArray:
        """Grade distributions of n pairs under dropout: (passes, n, 4). Repeatable by `seed`, and the same
        for a pair whatever others come along. `layers`: how many upper layers have dropout; None: all."""

    def embed_queries(self, texts: Sequence[str]) -> FloatArray:
        """(n, d) unit vectors; of the encoder, or of the base encoder where the kind has none of its own."""

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """(n, d) unit vectors."""

    def save(self, folder: Path) -> None:
        """Write all that `load` needs; the same model gives the same bytes."""
