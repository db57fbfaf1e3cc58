"""The shards of scoring as tasks of Ray's, in this machine's processes or on a cluster."""

from __future__ import annotations

import copy
import logging
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch

from serm.core.errors import MissingDependencyError, ModelError
from serm.relevance_model.base import FloatArray, Read, ShardMap
from serm.relevance_model.shards import Reader

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
            "Install it with `pip install ray`, or set `miner.executor: local`.",
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
    there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, workers = places(there, threads, on_card=on_card)
    task = ray.remote(num_cpus=cpus, num_gpus=int(on_card))(_read_shard)
    network = ray.put(_packed(read))  # sent once, however many shards there are
    running: deque[Any] = deque()
    for shard in shards:
        if len(running) >= AHEAD * workers:
            yield ray.get(running.popleft())
        running.append(task.remote(network, list(shard), threads))
    while running:
        yield ray.get(running.popleft())


def places(nodes: Sequence[Mapping[str, float]], threads: int, *, on_card: bool) -> tuple[float, int]:
    """How many CPUs a task asks for, and how many tasks the nodes run at a time. Ray lets a task that no node
    can ever take wait for good: so `threads`, but no more than the largest node has.

    nodes: what each has of "CPU" and "GPU". Raises ModelError where none has what it takes.
    """
    needed = "GPU" if on_card else "CPU"
    fitting = [node for node in nodes if node.get(needed, 0) > 0]
    if not fitting:
        raise ModelError(
            f"no node of the Ray cluster has a {needed} to score with (it has {len(nodes)} nodes).",
            "Add a node that has one, or set `miner.executor: local`"
            + (" or `model.device: cpu`." if on_card else "."),
        )
    cpus = min(float(threads), max(node.get("CPU", 0.0) for node in fitting))
    cpus = float(int(cpus)) if cpus > 1 else cpus  # more than one may be asked for whole alone
    wanted = {"CPU": cpus, "GPU": float(on_card)}
    asked = {name: count for name, count in wanted.items() if count > 0}
    at_a_time = sum(min(int(node.get(name, 0.0) // n) for name, n in asked.items()) for node in fitting)
    return cpus, max(1, at_a_time)


def _packed(read: Read) -> Read:
    """With its network in main memory: tensors of `cuda:1` cannot be unpacked where there is one card."""
    if not isinstance(read, Reader) or read.compute.kind == "cpu":
        return read
    return replace(read, network=copy.deepcopy(read.network).to("cpu"))


def _unpacked(read: Read) -> Read:
    """With its network on the worker's own device: Ray shows it no card but its own."""
    if not isinstance(read, Reader) or read.compute.kind == "cpu":
        return read
    own = replace(read.compute, device=read.compute.kind)
    return replace(read, network=read.network.to(own.device), compute=own)


def _read_shard(read: Read, shard: Sequence[Any], threads: int) -> FloatArray:
    torch.set_num_threads(threads)
    return np.ascontiguousarray(_unpacked(read)(shard))
