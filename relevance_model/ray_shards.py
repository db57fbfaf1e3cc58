"""The shards of scoring mapped by Ray Data, in this machine's processes or on a cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from serm.core.errors import MissingDependencyError
from serm.relevance_model.base import FloatArray, Read, ShardMap


def ray_map() -> ShardMap:
    """Connects to the cluster of RAY_ADDRESS, or starts Ray here, when there is something to map.

    MissingDependencyError where ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingDependencyError(
            "`miner.executor: ray` needs ray, which is not installed.",
            "Install it with `pip install 'serm[ray]'`, or set `miner.executor: local`.",
        ) from error

    def mapped(read: Read, shards: Sequence[Sequence[Any]]) -> Iterator[FloatArray]:
        if not ray.is_initialized():
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        yield from _results(ray, read, shards)

    return mapped


def _results(ray: Any, read: Read, shards: Sequence[Sequence[Any]]) -> Iterator[FloatArray]:
    threads = torch.get_num_threads()  # as many there as here: sums are then added up in the same order
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    work = ray.data.from_items(
        [{"number": number, "inputs": list(shard)} for number, shard in enumerate(shards)],
        override_num_blocks=len(shards),
    )
    on_card = getattr(getattr(read, "compute", None), "kind", "cpu") == "cuda"
    there = ray.cluster_resources()
    workers = there.get("GPU", 1) if on_card else there.get("CPU", 1) // threads
    done = work.map(
        _Worker,
        fn_constructor_args=(ray.put(read), threads),
        num_cpus=threads,
        num_gpus=1 if on_card else None,
        compute=ray.data.ActorPoolStrategy(size=max(1, min(int(workers), len(shards)))),
    )
    for number, row in enumerate(done.iter_rows(prefetch_batches=0)):
        if row["number"] != number:
            raise RuntimeError(f"Ray gave shard {row['number']} where {number} was due")
        yield np.frombuffer(row["values"], dtype=np.float32).reshape(tuple(row["shape"]))


class _Worker:
    """A process of Ray's: holds the network, and reads one shard after the other."""

    def __init__(self, read: Any, threads: int) -> None:
        import ray

        torch.set_num_threads(threads)
        self._read: Read = ray.get(read) if isinstance(read, ray.ObjectRef) else read

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        values = np.ascontiguousarray(self._read(_inputs(row["inputs"])), dtype=np.float32)
        return {"number": int(row["number"]), "values": values.tobytes(), "shape": list(values.shape)}


def _inputs(given: Sequence[Any]) -> list[Any]:
    """Texts as they were, pairs of texts as tuples again."""
    return [item if isinstance(item, str) else tuple(item) for item in given]
