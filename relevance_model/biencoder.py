"""The default kind: a SentenceTransformer, and an ordinal head over the cosine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from serm.core.hashing import digest
from serm.core.records import N_GRADES
from serm.relevance_model.base import FloatArray, Scores, ShardMap, expected_grade
from serm.relevance_model.description import write_description
from serm.relevance_model.encoder import TextEncoder
from serm.relevance_model.head import UNTRAINED, OrdinalHead
from serm.relevance_model.pairs import CodedPairs
from serm.relevance_model.shards import local

_BLOCK = 16_384  # pairs whose vectors are side by side at a time


@dataclass(frozen=True)
class BiEncoder:
    """Relevance as the cosine of two embeddings, read by a head. Scoring a stream encodes each text once."""

    encoder: TextEncoder
    head: OrdinalHead = UNTRAINED
    query_prefix: str = ""
    document_prefix: str = ""

    kind = "biencoder"

    @cached_property
    def id(self) -> str:
        return digest([self.encoder.weights_id, self.description()])

    @property
    def network(self) -> Any:
        return self.encoder.model

    @property
    def embeddings(self) -> Path | None:
        return self.encoder.folder

    @property
    def states(self) -> Path | None:
        return self.encoder.lower.folder if self.encoder.lower else None

    def description(self) -> dict[str, object]:
        """Everything but the weights: what `serm.json` holds."""
        return {
            "format": 1,
            "kind": self.kind,
            "head": self.head.to_json(),
            "max_length": self.encoder.max_length,
            "query_prefix": self.query_prefix,
            "document_prefix": self.document_prefix,
        }

    def score(
        self, queries: Sequence[str], documents: Sequence[str], languages: Sequence[str] | None = None
    ) -> Scores:
        return self.score_pairs(CodedPairs.of(queries, documents, languages))

    def score_pairs(self, pairs: CodedPairs, shards: ShardMap = local) -> Scores:
        self.encoder.embed([*self._texts(pairs)], shards)  # together, so that shards are full
        sides = self.embed_queries(pairs.queries), self.embed_documents(pairs.documents)
        probabilities = self._probabilities(pairs, *sides)
        return Scores(probabilities, expected_grade(probabilities))

    def ranking(self, probabilities: FloatArray) -> FloatArray:
        return expected_grade(probabilities)

    def cosines(self, queries: Sequence[str], documents: Sequence[str]) -> FloatArray:
        """(n,), a row a pair."""
        pairs = CodedPairs.of(queries, documents)
        sides = self.embed_queries(pairs.queries), self.embed_documents(pairs.documents)
        return _row_products(sides[0][pairs.query], sides[1][pairs.document])

    def stochastic(
        self, pairs: CodedPairs, *, passes: int, seed: int, layers: int | None = None
    ) -> FloatArray:
        vectors = self.encoder.embed_under_dropout(
            self._texts(pairs), passes=passes, seed=seed, layers=layers
        )
        sides = np.split(vectors, [len(pairs.queries)], axis=1)
        return np.stack([self._probabilities(pairs, *each) for each in zip(*sides, strict=True)])

    def _texts(self, pairs: CodedPairs) -> list[str]:
        return [*self._prefixed(pairs.queries), *self._prefixed_documents(pairs.documents)]

    def _probabilities(self, pairs: CodedPairs, queries: FloatArray, documents: FloatArray) -> FloatArray:
        """(n, 4), from the vectors of the distinct texts."""
        result = np.empty((len(pairs), N_GRADES), dtype=np.float32)
        for start in range(0, len(pairs), _BLOCK):
            rows = slice(start, start + _BLOCK)
            cosines = _row_products(queries[pairs.query[rows]], documents[pairs.document[rows]])
            result[rows] = self.head.probabilities(cosines, pairs.language_names(rows))
        return result

    def embed_queries(self, texts: Sequence[str]) -> FloatArray:
        return self.encoder.embed(self._prefixed(texts))

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        return self.encoder.embed(self._prefixed_documents(texts))

    def save(self, folder: Path) -> None:
        self.encoder.save(folder)
        write_description(folder, self.description())

    def _prefixed(self, texts: Sequence[str]) -> list[str]:
        return [self.query_prefix + text for text in texts]

    def _prefixed_documents(self, texts: Sequence[str]) -> list[str]:
        return [self.document_prefix + text for text in texts]


def _row_products(left: FloatArray, right: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("nd,nd->n", left, right), dtype=np.float32)
