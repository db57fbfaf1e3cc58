"""A SentenceTransformer that remembers what it has encoded."""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from serm.core.hashing import HASH_LENGTH, digest
from serm.relevance_model.base import FloatArray
from serm.relevance_model.compute import Compute
from serm.relevance_model.layers import dropout_on
from serm.storage.artifacts import storage_errors
from serm.storage.embeddings import EmbeddingCache, text_hash

FLUSH = 32
"""Batches between two writes of the cache, chosen: a kill loses at most so many."""

RANDOMNESS = threading.RLock()
"""Held by whatever seeds torch's global generator (dropout), so that threads cannot mix their draws."""


class TextEncoder:
    """Texts to unit vectors. Equal texts are encoded once, known ones not at all."""

    def __init__(
        self,
        model: SentenceTransformer,
        compute: Compute,
        *,
        max_length: int,
        batch_size: int,
        cache: Path | None = None,
    ) -> None:
        self.model = model.to(compute.device).eval()
        self.model.max_seq_length = max_length
        self.compute, self.max_length, self.batch_size, self.cache_folder = (
            compute,
            max_length,
            batch_size,
            cache,
        )
        self.weights_id = weights_id(model)
        self.dim = int(model.get_embedding_dimension() or 0)
        key = digest([self.weights_id, max_length, compute.precision])
        self._cache = EmbeddingCache(
            cache, key, self.dim, "float32" if compute.precision == "float32" else "float16"
        )
        self._lock = threading.Lock()  # the tokenizer is not safe to share between threads

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """(n, d) unit vectors."""
        with self._lock:
            hashes = {text: text_hash(text) for text in texts}
            known, _ = self._cache.get(list(hashes.values()))
            missing = [text for text, seen in zip(hashes, known, strict=True) if not seen]
            missing.sort(key=lambda text: (len(text), hashes[text]))
            step = self.batch_size * FLUSH
            for start in range(0, len(missing), step):
                chunk = missing[start : start + step]
                self._cache.put([hashes[text] for text in chunk], self._encode(self.model, chunk))
            _, vectors = self._cache.get([hashes[text] for text in texts])
            return vectors

    def embed_under_dropout(self, texts: Sequence[str], seed: int) -> FloatArray:
        """(n, d) unit vectors of one pass with dropout on, repeatable by `seed`; equal texts share a mask."""
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        position = {text: row for row, text in enumerate(distinct)}
        noisy = self.copy_model()  # the shared one stays in evaluation mode for other threads
        dropout_on(noisy)
        devices = [self.compute.device] if self.compute.kind == "cuda" else []
        with RANDOMNESS, torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            vectors = self._encode(noisy, distinct)
        return vectors[[position[text] for text in texts]]

    def save(self, folder: Path) -> None:
        """Write the SentenceTransformer; the same weights give the same bytes."""
        with self._lock, storage_errors(folder):
            # What the tokenizer was last used for is no part of the model, but would go into its file.
            backend = getattr(self.model.tokenizer, "backend_tokenizer", None)
            if backend is not None:
                backend.no_truncation()
                backend.no_padding()
            self.model.save(str(folder), create_model_card=False)
            for file in folder.rglob("*.safetensors"):
                file.chmod(0o644)  # safetensors makes them readable by the owner alone

    def copy_model(self) -> SentenceTransformer:
        """The weights to change, apart from these."""
        with self._lock:
            return copy.deepcopy(self.model)

    def with_model(self, model: SentenceTransformer) -> TextEncoder:
        """An encoder of other weights, with all else as here."""
        return TextEncoder(
            model,
            self.compute,
            max_length=self.max_length,
            batch_size=self.batch_size,
            cache=self.cache_folder,
        )

    @torch.inference_mode()
    def _encode(self, model: SentenceTransformer, texts: Sequence[str]) -> FloatArray:
        parts = [np.empty((0, self.dim), dtype=np.float32)]
        for start in range(0, len(texts), self.batch_size):
            features = tokenize(model, texts[start : start + self.batch_size], self.compute.device)
            with self.compute.autocast():
                vectors = model(features)["sentence_embedding"].float()
            parts.append(torch.nn.functional.normalize(vectors, dim=1).cpu().numpy())
        return np.concatenate(parts)


def tokenize(model: SentenceTransformer, texts: Sequence[str], device: str) -> dict[str, object]:
    """What the model's forward takes, with its tensors on `device`."""
    features = model.preprocess(list(texts))
    return {
        name: value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in features.items()
    }


def weights_id(model: SentenceTransformer) -> str:
    """Content hash of every tensor, the vocabulary and the modules' settings."""
    state = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    shapes = [[type(module).__name__, module.get_config_dict()] for module in list(model)[1:]]
    state.update(digest([model.tokenizer.get_vocab(), shapes]).encode())
    return state.hexdigest()[:HASH_LENGTH]
