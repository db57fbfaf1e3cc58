"""An encoder of texts that remembers what it has encoded."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from serm.core.hashing import digest
from serm.relevance_model.base import FloatArray, ShardMap
from serm.relevance_model.compute import Compute
from serm.relevance_model.identity import weights_id
from serm.relevance_model.lower import LowerLayers, SharedLayers, lower_layers, upper_reader
from serm.relevance_model.passes import MaskedReader, Passes
from serm.relevance_model.shards import Reader, local, shards_of
from serm.storage.artifacts import rust_errors, storage_errors
from serm.storage.embeddings import EmbeddingCache, text_hash

RANDOMNESS = threading.RLock()
"""Held by whatever seeds torch's global generator (dropout), so that threads cannot mix their draws."""


class TextEncoder:
    """Texts to unit vectors. Equal texts are encoded once, known ones not at all.

    `model`: a SentenceTransformer, or a module with its `preprocess`, `tokenizer` and output
    `sentence_embedding`. Not to be changed afterwards: its content hash names the cached vectors.
    """

    def __init__(
        self,
        model: Any,
        compute: Compute,
        *,
        max_length: int,
        batch_size: int,
        cache: Path | None = None,
        shared: SharedLayers | None = None,
        like: TextEncoder | None = None,
    ) -> None:
        """`shared`: lower layers that never change (relevance_model/lower.py). `like`: an encoder that may
        have the same ones open."""
        self.model = model.to(compute.device).eval()
        self.compute, self.cache_folder = compute, cache
        self.max_length, self.batch_size = max_length, batch_size
        self.model.max_seq_length = max_length
        self.weights_id = weights_id(model)
        self.dim = int(model.get_embedding_dimension())
        self.shared = shared
        self.lower: LowerLayers | None = lower_layers(
            model, shared, compute, batch_size, like=like.lower if like else None
        )
        split = [] if self.lower is None else [self.lower.layers]  # rounding between layers moves last bits
        key = digest([self.weights_id, max_length, compute.precision, *split])
        self._cache = EmbeddingCache(
            cache, key, self.dim, "float32" if compute.precision == "float32" else "float16"
        )
        self.lock = threading.RLock()  # tokenizers are not safe to share between threads

    def embed(self, texts: Sequence[str], shards: ShardMap = local) -> FloatArray:
        """(n, d) unit vectors. What is not known yet is encoded shard by shard, by `shards`."""
        hashes = {text: text_hash(text) for text in texts}
        with self.lock:
            known = self._cache.known(list(hashes.values()))
            missing = [text for text, seen in zip(hashes, known, strict=True) if not seen]
            work = shards_of(missing, self.batch_size, len)
            for shard, vectors in zip(work, shards(self.reader, work) if work else (), strict=True):
                self._cache.put([hashes[text] for text in shard], vectors)
            return self._cache.vectors([hashes[text] for text in texts])

    def embed_under_dropout(
        self, texts: Sequence[str], *, passes: int, seed: int, layers: int | None = None
    ) -> Passes:
        """(passes, n, d) unit vectors, repeatable by `seed`: each pass is one draw of dropout masks for all
        texts. `layers`: how many upper layers have dropout; None: all."""
        with self.lock:  # the tokenizer is shared
            below = self.lower is not None and layers is not None and layers <= self.lower.upper
            noisy = MaskedReader(self.reader if below else self._whole, passes, seed, layers)
            return noisy(texts)

    @property
    def folder(self) -> Path | None:
        """Where the vectors of these weights are kept; None: in memory alone."""
        return self._cache.folder

    @property
    def reader(self) -> Reader:
        return self._whole if self.lower is None else upper_reader(self._whole, self.lower)

    @property
    def _whole(self) -> Reader:
        return Reader(
            self.model, "sentence_embedding", self.dim, self.batch_size, self.compute, normalize=True
        )

    def copy_model(self) -> Any:
        """The weights to change, apart from these."""
        with self.lock:
            return copy.deepcopy(self.model)

    def with_model(self, model: Any) -> TextEncoder:
        """An encoder of other weights, with all else as here."""
        return TextEncoder(
            model,
            self.compute,
            max_length=self.max_length,
            batch_size=self.batch_size,
            cache=self.cache_folder,
            shared=self.shared,
            like=self,
        )

    def save(self, folder: Path) -> None:
        """Write the model; the same weights give the same bytes."""
        with self.lock:
            save_model(self.model, folder)


@contextmanager
def seeded(seed: int, compute: Compute) -> Iterator[None]:
    """Torch's global generators set by `seed`, alone with them, and put back afterwards."""
    devices = [compute.device] if compute.kind == "cuda" else []
    with RANDOMNESS, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def save_model(model: Any, folder: Path) -> None:
    """Write a SentenceTransformer or CrossEncoder; the same weights give the same bytes. Raises StorageError
    where the disk is full or cannot be written."""
    with storage_errors(folder), rust_errors():
        # What the tokenizer was last used for is no part of the model, but would go into its file.
        backend = getattr(model.tokenizer, "backend_tokenizer", None)
        if backend is not None:
            backend.no_truncation()
            backend.no_padding()
        model.save(str(folder), create_model_card=False)
        for file in folder.rglob("*.safetensors"):
            file.chmod(0o644)  # safetensors makes them readable by the owner alone
