"""`miner.executor: ray`: the same shards, the same bytes, in processes of Ray's."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serm.core.errors import MissingDependencyError
from serm.core.settings_loop import ModelSettings
from serm.relevance_model import shards as shards_module
from serm.relevance_model.base import FloatArray, Read
from serm.relevance_model.executors import shard_map
from serm.relevance_model.loading import open_base
from serm.relevance_model.pairs import CodedPairs

TOPICS = range(6)
PAIRS = CodedPairs.of(
    [f"{colour} ask{topic}" for colour in ("red", "blue", "green") for topic in TOPICS],
    [f"the answer{topic} of {colour}" for colour in ("red", "blue", "green") for topic in TOPICS],
)


def test_without_ray_the_executor_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"needs ray"):
        shard_map("ray")


@pytest.fixture(scope="module")
def module_environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def local_ray(module_environment: pytest.MonkeyPatch) -> Iterator[Any]:
    module_environment.setenv("RAY_AUTH_MODE", "disabled")  # a cluster of this test's own
    module_environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
    module_environment.setenv("RAY_worker_niceness", "0")  # at Ray's own 15 a busy machine starves it
    ray = pytest.importorskip("ray", reason="ray is not installed (extra `ray`)")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["biencoder", "crossencoder"])
def test_ray_maps_the_same_shards_to_the_same_bytes(
    kind: str, tiny: ModelSettings, local_ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards_module, "SHARD", 1)  # eight texts a shard: several of them
    settings = tiny.model_copy(update={"kind": kind})
    seen: dict[str, list[list[Any]]] = {"local": [], "ray": []}

    def watched(name: Any) -> Any:
        mapped = shard_map(name)

        def watch(read: Read, shards: Sequence[Sequence[Any]]) -> Iterator[FloatArray]:
            seen[name] += [list(shard) for shard in shards]
            return mapped(read, shards)

        return watch

    found = {
        name: open_base(settings, tmp_path / name).score_pairs(PAIRS, watched(name)).probabilities
        for name in seen
    }
    assert len(seen["local"]) > 1
    assert seen["ray"] == seen["local"]
    assert found["ray"].tobytes() == found["local"].tobytes()
    files = [sorted((tmp_path / name).rglob("*.bin")) for name in seen]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]
    assert np.isfinite(found["ray"]).all()
