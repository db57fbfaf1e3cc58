"""The other kind: a CrossEncoder that reads query and document together, with one logit per grade."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder

from serm.core.hashing import digest
from serm.core.records import N_GRADES
from serm.relevance_model.base import FloatArray, Scores, expected_grade
from serm.relevance_model.compute import Compute
from serm.relevance_model.description import write_description
from serm.relevance_model.encoder import TextEncoder, save_model, seeded
from serm.relevance_model.layers import dropout_on
from serm.relevance_model.tokens import token_batches


class PooledStates(torch.nn.Module):
    """A CrossEncoder's transformer as an encoder of single texts: the mean of its last states."""

    def __init__(self, network: CrossEncoder) -> None:
        super().__init__()
        self.network = network
        self.tokenizer = network.tokenizer

    def preprocess(self, inputs: Sequence[Any]) -> Any:
        return self.network.preprocess(list(inputs))

    def get_embedding_dimension(self) -> int:
        return int(self.network.model.config.hidden_size)

    def forward(self, features: dict[str, Any]) -> dict[str, torch.Tensor]:
        tensors = {name: value for name, value in features.items() if isinstance(value, torch.Tensor)}
        states = self.network.model.base_model(**tensors).last_hidden_state.float()
        mask = tensors["attention_mask"][:, :, None].to(states.dtype)
        return {"sentence_embedding": (states * mask).sum(dim=1) / mask.sum(dim=1)}


@dataclass(frozen=True)
class CrossEncoderModel:
    """Relevance as a classification of the pair. Its embeddings are its own transformer's pooled states."""

    network: CrossEncoder
    compute: Compute
    max_length: int
    batch_size: int = 64
    temperature: float = 1.0
    query_prefix: str = ""
    document_prefix: str = ""
    cache: Path | None = None

    kind = "crossencoder"

    def __post_init__(self) -> None:
        self.network.to(self.compute.device).eval()
        self.network.max_length = self.max_length

    @cached_property
    def id(self) -> str:
        return digest([self.texts.weights_id, self.description()])

    @cached_property
    def texts(self) -> TextEncoder:
        """The encoder of single texts; its lock guards the tokenizer that both share."""
        return TextEncoder(
            PooledStates(self.network),
            self.compute,
            max_length=self.max_length,
            batch_size=self.batch_size,
            cache=self.cache,
        )

    def description(self) -> dict[str, object]:
        """Everything but the weights: what `serm.json` holds."""
        return {
            "format": 1,
            "kind": self.kind,
            "temperature": self.temperature,
            "max_length": self.max_length,
            "query_prefix": self.query_prefix,
            "document_prefix": self.document_prefix,
        }

    def score(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        languages: Sequence[str] | None = None,  # noqa: ARG002 - the text itself tells it
    ) -> Scores:
        probabilities = softmax(self.logits(queries, documents) / self.temperature)
        return Scores(probabilities, expected_grade(probabilities))

    def logits(self, queries: Sequence[str], documents: Sequence[str]) -> FloatArray:
        """(n, 4), before the temperature. Equal pairs are read once."""
        with self.texts.lock:
            return self._logits(self.network, queries, documents)

    def stochastic(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        *,
        passes: int,
        seed: int,
        languages: Sequence[str] | None = None,  # noqa: ARG002
    ) -> FloatArray:
        with self.texts.lock:
            noisy = copy.deepcopy(self.network)
            dropout_on(noisy)
            rows = []
            for number in range(passes):
                with seeded(seed * 1_000 + number, self.compute):
                    logits = self._logits(noisy, queries, documents)
                rows.append(softmax(logits / self.temperature))
        return np.stack(rows) if rows else np.empty((0, len(queries), N_GRADES), dtype=np.float32)

    def embed_queries(self, texts: Sequence[str]) -> FloatArray:
        return self.texts.embed([self.query_prefix + text for text in texts])

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        return self.texts.embed([self.document_prefix + text for text in texts])

    def save(self, folder: Path) -> None:
        with self.texts.lock:
            save_model(self.network, folder)
        write_description(folder, self.description())

    def pairs(self, queries: Sequence[str], documents: Sequence[str]) -> list[tuple[str, str]]:
        """n pairs as the network reads them."""
        if len(queries) != len(documents):
            raise ValueError(f"{len(queries)} queries and {len(documents)} documents do not pair up")
        return [
            (self.query_prefix + query, self.document_prefix + document)
            for query, document in zip(queries, documents, strict=True)
        ]

    @torch.inference_mode()
    def _logits(self, network: CrossEncoder, queries: Sequence[str], documents: Sequence[str]) -> FloatArray:
        pairs = self.pairs(queries, documents)
        distinct = sorted(set(pairs))
        position = {pair: row for row, pair in enumerate(distinct)}
        result = np.empty((len(distinct), N_GRADES), dtype=np.float32)
        for rows, features in token_batches(network, distinct, self.batch_size, self.compute.device):
            with self.compute.autocast():
                logits = network(features)["scores"]
            result[rows] = logits[: len(rows)].float().cpu().numpy()
        return result[[position[pair] for pair in pairs]]


def softmax(logits: FloatArray) -> FloatArray:
    """(n, 4) -> (n, 4), rows sum to 1."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)
