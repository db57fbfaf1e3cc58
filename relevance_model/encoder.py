"""An encoder of texts that remembers what it has encoded."""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from serm.core.hashing import HASH_LENGTH, digest
from serm.relevance_model.base import FloatArray, ShardMap
from serm.relevance_model.compute import Compute
from serm.relevance_model.passes import MaskedReader, Passes
from serm.relevance_model.shards import Reader, local, shards_of
from serm.storage.artifacts import storage_errors
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
    ) -> None:
        self.model = model.to(compute.device).eval()
        self.compute, self.cache_folder = compute, cache
        self.max_length, self.batch_size = max_length, batch_size
        self.model.max_seq_length = max_length
        self.weights_id = weights_id(model)
        self.dim = int(model.get_embedding_dimension())
        key = digest([self.weights_id, max_length, compute.precision])
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
            return self._cache.get([hashes[text] for text in texts])[1]

    def embed_under_dropout(
        self, texts: Sequence[str], *, passes: int, seed: int, layers: int | None = None
    ) -> Passes:
        """(passes, n, d) unit vectors, repeatable by `seed`: each pass is one draw of dropout masks for all
        texts. `layers`: how many upper layers have dropout; None: all."""
        with self.lock:  # the tokenizer is shared
            noisy = MaskedReader(self.reader, passes, seed, layers)
            return noisy(texts)

    @property
    def reader(self) -> Reader:
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
    """Write a SentenceTransformer or CrossEncoder; the same weights give the same bytes."""
    with storage_errors(folder):
        # What the tokenizer was last used for is no part of the model, but would go into its file.
        backend = getattr(model.tokenizer, "backend_tokenizer", None)
        if backend is not None:
            backend.no_truncation()
            backend.no_padding()
        model.save(str(folder), create_model_card=False)
        for file in folder.rglob("*.safetensors"):
            file.chmod(0o644)  # safetensors makes them readable by the owner alone


def weights_id(model: Any) -> str:
    """Content hash of every tensor, the vocabulary and the settings of the modules above the transformer."""
    state = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    upper = [
        [type(module).__name__, module.get_config_dict()]
        for module in model.children()
        if hasattr(module, "get_config_dict") and not hasattr(module, "tokenizer")
    ]
    state.update(digest([model.tokenizer.get_vocab(), upper]).encode())
    return state.hexdigest()[:HASH_LENGTH]
