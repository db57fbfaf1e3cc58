"""The shards of scoring as tasks of Ray's, in this machine's processes or on a cluster."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import torch

from serm.core.errors import MissingDependencyError
from serm.relevance_model.base import FloatArray, Read, ShardMap

AHEAD: Final = 2
"""Tasks in flight for each worker, chosen: none waits for work, and no more results are held than that."""


def ray_map() -> ShardMap:
    """Connects to the cluster of RAY_ADDRESS, or starts Ray here, when there is something to map.

    MissingDependencyError where ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(
            "`miner.executor: ray` needs ray, which is not installed.",
            "Install it with `pip install 'serm[ray]'`, or set `miner.executor: local`.",
        ) from error

    def mapped(read: Read, shards: Sequence[Sequence[Any]]) -> Iterator[FloatArray]:
        if not ray.is_initialized():
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        return _results(ray, read, shards)

    return mapped


def _results(ray: Any, read: Read, shards: Sequence[Sequence[Any]]) -> Iterator[FloatArray]:
    threads = torch.get_num_threads()  # as many there as here: sums are then added up in the same order
    on_card = getattr(getattr(read, "compute", None), "kind", "cpu") == "cuda"
    there = ray.cluster_resources()
    workers = int(there.get("GPU", 1) if on_card else there.get("CPU", 1) // threads)
    task = ray.remote(num_cpus=threads, num_gpus=int(on_card))(_read_shard)
    network = ray.put(read)  # sent once, however many shards there are
    running: deque[Any] = deque()
    for shard in shards:
        if len(running) >= AHEAD * max(1, workers):
            yield ray.get(running.popleft())
        running.append(task.remote(network, list(shard), threads))
    while running:
        yield ray.get(running.popleft())


def _read_shard(read: Read, shard: Sequence[Any], threads: int) -> FloatArray:
    torch.set_num_threads(threads)
    return np.ascontiguousarray(read(shard))
