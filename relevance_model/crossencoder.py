"""The other kind: a CrossEncoder that reads query and document together, with one logit per grade."""

from __future__ import annotations

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
from serm.relevance_model.base import FloatArray, Scores, ShardMap, expected_grade
from serm.relevance_model.compute import Compute
from serm.relevance_model.description import write_description
from serm.relevance_model.encoder import TextEncoder, save_model
from serm.relevance_model.pairs import CodedPairs, Ints
from serm.relevance_model.passes import MaskedReader
from serm.relevance_model.shards import Reader, local, shards_of
from serm.storage.embeddings import EmbeddingCache, pair_hash


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

    @property
    def embeddings(self) -> Path | None:
        return self.texts.folder

    @property
    def states(self) -> Path | None:
        return None

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
        self, queries: Sequence[str], documents: Sequence[str], languages: Sequence[str] | None = None
    ) -> Scores:
        return self.score_pairs(CodedPairs.of(queries, documents, languages))

    def score_pairs(self, pairs: CodedPairs, shards: ShardMap = local) -> Scores:
        probabilities = softmax(self._logits(pairs, shards) / self.temperature)
        return Scores(probabilities, expected_grade(probabilities))

    def ranking(self, probabilities: FloatArray) -> FloatArray:
        """The expected grades before the temperature: it can turn the order of two pairs round."""
        with np.errstate(divide="ignore"):  # a probability of 0 stays 0
            logits = np.log(np.asarray(probabilities, dtype=np.float64)) * self.temperature
        return expected_grade(softmax(logits.astype(np.float32)))

    def logits(self, queries: Sequence[str], documents: Sequence[str]) -> FloatArray:
        """(n, 4), before the temperature. Equal pairs are read once."""
        return self._logits(CodedPairs.of(queries, documents), local)

    def stochastic(
        self, pairs: CodedPairs, *, passes: int, seed: int, layers: int | None = None
    ) -> FloatArray:
        inputs, place = self._inputs(pairs)
        with self.texts.lock:
            logits = MaskedReader(self.reader, passes, seed, layers)(inputs)[:, place]
        return np.stack([softmax(each / self.temperature) for each in logits])

    @property
    def reader(self) -> Reader:
        return Reader(self.network, "scores", N_GRADES, self.batch_size, self.compute)

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

    def _logits(self, pairs: CodedPairs, shards: ShardMap) -> FloatArray:
        """(n, 4). What is not known yet is read shard by shard, by `shards`."""
        inputs, place = self._inputs(pairs)
        hashes = [pair_hash(*pair) for pair in inputs]
        kept = self._kept
        cache = EmbeddingCache(None, "", N_GRADES, "float32") if kept is None else kept
        with self.texts.lock:
            missing = np.flatnonzero(~cache.known(hashes)).tolist()
            order = shards_of(missing, self.batch_size, lambda row: sum(map(len, inputs[row])))
            work = [[inputs[row] for row in shard] for shard in order]
            for rows, logits in zip(order, shards(self.reader, work) if work else (), strict=True):
                cache.put([hashes[row] for row in rows], logits)
            return cache.vectors(hashes)[place]

    @cached_property
    def _kept(self) -> EmbeddingCache | None:
        """Logits by pair, in the folder of the same network's vectors, with which they are pruned, so that a
        run that was killed goes on. None where nothing is kept on disk: few pairs are ever read again."""
        folder = self.texts.folder
        return None if folder is None else EmbeddingCache(folder, "logits", N_GRADES, "float32")

    def _inputs(self, pairs: CodedPairs) -> tuple[list[tuple[str, str]], Ints]:
        """The distinct pairs as the network reads them, and for each pair the number of its distinct one."""
        width = max(len(pairs.documents), 1)
        codes, place = np.unique(pairs.query * width + pairs.document, return_inverse=True)
        queries, documents = np.divmod(codes, width)
        return self.pairs(
            [pairs.queries[row] for row in queries], [pairs.documents[row] for row in documents]
        ), place.astype(np.int64)


def softmax(logits: FloatArray) -> FloatArray:
    """(n, 4) -> (n, 4), rows sum to 1."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)
