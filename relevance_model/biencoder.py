"""The default kind: a SentenceTransformer, and an ordinal head over the cosine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from serm.core.hashing import digest
from serm.core.records import N_GRADES
from serm.relevance_model.base import FloatArray, Scores, expected_grade
from serm.relevance_model.description import write_description
from serm.relevance_model.encoder import TextEncoder
from serm.relevance_model.head import UNTRAINED, OrdinalHead


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
        probabilities = self.head.probabilities(self.cosines(queries, documents), languages)
        return Scores(probabilities, expected_grade(probabilities))

    def cosines(self, queries: Sequence[str], documents: Sequence[str]) -> FloatArray:
        """(n,), a row a pair."""
        if len(queries) != len(documents):
            raise ValueError(f"{len(queries)} queries and {len(documents)} documents do not pair up")
        vectors = self.encoder.embed([*self._prefixed(queries), *self._prefixed_documents(documents)])
        return _row_products(vectors[: len(queries)], vectors[len(queries) :])

    def stochastic(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        *,
        passes: int,
        seed: int,
        languages: Sequence[str] | None = None,
    ) -> FloatArray:
        texts = [*self._prefixed(queries), *self._prefixed_documents(documents)]
        rows = []
        for number in range(passes):
            vectors = self.encoder.embed_under_dropout(texts, seed * 1_000 + number)
            cosines = _row_products(vectors[: len(queries)], vectors[len(queries) :])
            rows.append(self.head.probabilities(cosines, languages))
        return np.stack(rows) if rows else np.empty((0, len(queries), N_GRADES), dtype=np.float32)

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
