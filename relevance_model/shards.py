"""The unit of work of scoring: a shard of what a network must read, and who maps over the shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from serm.core.errors import ModelError
from serm.relevance_model.base import FloatArray, Read
from serm.relevance_model.compute import Compute, within_memory
from serm.relevance_model.tokens import Features, token_batches

SHARD: Final = 32
"""Batches in a shard, chosen: what a kill loses at most, and what is in memory at a time."""


def local(read: Read, shards: Sequence[Sequence[Any]]) -> Iterator[FloatArray]:
    """In this process, one after the other."""
    return map(read, shards)


def shards_of(inputs: Sequence[Any], batch_size: int, length: Callable[[Any], int]) -> list[list[Any]]:
    """Inputs in shards of `batch_size` x `SHARD`, by length, so that batches are full."""
    ordered = sorted(inputs, key=length)
    step = batch_size * SHARD
    return [ordered[start : start + step] for start in range(0, len(ordered), step)]


@dataclass(frozen=True)
class Reader:
    """A network and how it is read. What comes out for an input does not depend on its company."""

    network: Any  # a SentenceTransformer, a CrossEncoder, or a module that looks like one
    output: str  # the name of its features that is wanted
    width: int
    batch_size: int
    compute: Compute
    normalize: bool = False  # to unit length

    @torch.inference_mode()
    def __call__(self, inputs: Sequence[Any]) -> FloatArray:
        """(n, width)"""
        result = np.empty((len(inputs), self.width), dtype=np.float32)
        for rows, features in self.batches(inputs):
            result[rows] = self.values(features, len(rows))
        return result

    def batches(self, inputs: Sequence[Any]) -> Iterator[tuple[list[int], Features]]:
        """What `values` reads, and the positions in `inputs` of the first rows of each batch."""
        return token_batches(self.network, inputs, self.batch_size, self.compute.device)

    def values(self, features: Features, rows: int) -> FloatArray:
        """What the network makes of the first `rows` of a batch: (rows, width). Raises ModelError where it
        makes another number of them, which numpy would repeat, and where its device has no memory for it."""
        with within_memory("Lower `model.batch_size`."), self.compute.autocast():
            values = self.network(features)[self.output][:rows].float()
        if values.shape != (rows, self.width):
            found = values.shape[1] if values.ndim > 1 else 1
            raise ModelError(f"its network gives {found} for an input where {self.width} numbers are wanted.")
        if self.normalize:
            values = torch.nn.functional.normalize(values, dim=1)
        return np.asarray(values.cpu().numpy(), dtype=np.float32)
