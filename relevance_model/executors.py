"""Who maps over the shards of scoring, by its name in `miner.executor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from serm.core.settings_miner import ExecutorName
from serm.relevance_model.base import ShardMap
from serm.relevance_model.shards import local


def shard_map(name: ExecutorName) -> ShardMap:
    """MissingDependencyError where the package behind it is not installed."""
    return _MAPS[name]()


def _ray() -> ShardMap:
    from serm.relevance_model.ray_shards import ray_map

    return ray_map()


_MAPS: Final[Mapping[ExecutorName, Callable[[], ShardMap]]] = {"local": lambda: local, "ray": _ray}
