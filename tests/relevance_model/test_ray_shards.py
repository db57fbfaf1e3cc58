"""`miner.executor: ray`: the same shards, the same bytes, in processes of Ray's."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from serm.core.errors import MissingDependencyError, ModelError
from serm.core.settings_loop import ModelSettings
from serm.relevance_model import shards as shards_module
from serm.relevance_model.base import FloatArray, Read
from serm.relevance_model.compute import Compute
from serm.relevance_model.executors import shard_map
from serm.relevance_model.loading import open_base
from serm.relevance_model.pairs import CodedPairs
from serm.relevance_model.ray_shards import _packed, _results, _unpacked, places
from serm.relevance_model.shards import Reader

TOPICS = range(6)
PAIRS = CodedPairs.of(
    [f"{colour} ask{topic}" for colour in ("red", "blue", "green") for topic in TOPICS],
    [f"the answer{topic} of {colour}" for colour in ("red", "blue", "green") for topic in TOPICS],
)


def test_without_ray_the_executor_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"needs ray"):
        shard_map("ray")


def _cpus(*counts: float) -> list[dict[str, float]]:
    return [{"CPU": count} for count in counts]


@pytest.mark.parametrize(
    ("nodes", "threads", "on_card", "found"),
    [
        (_cpus(8, 4), 4, False, (4, 3)),
        (_cpus(2, 2, 0), 16, False, (2, 2)),  # 16 threads fit nowhere: Ray would wait for good
        (_cpus(0.5), 4, False, (0.5, 1)),
        (_cpus(2.5), 4, False, (2, 1)),
        ([{"CPU": 64}, {"CPU": 4, "GPU": 2}], 8, True, (4, 1)),
        ([{"CPU": 8, "GPU": 2}], 4, True, (4, 2)),
        ([{"GPU": 1}], 4, True, (0, 1)),
    ],
)
def test_a_task_asks_for_no_more_than_a_node_has(
    nodes: list[dict[str, float]], threads: int, on_card: bool, found: tuple[float, int]
) -> None:
    assert places(nodes, threads, on_card=on_card) == found


@pytest.mark.parametrize(("on_card", "what"), [(False, "CPU"), (True, "GPU")])
def test_a_cluster_without_a_node_that_fits_is_an_error_and_no_endless_wait(on_card: bool, what: str) -> None:
    nodes = _cpus(4) if on_card else _cpus(0)
    with pytest.raises(ModelError, match=f"no node of the Ray cluster has a {what}") as error:
        places(nodes, 2, on_card=on_card)
    assert "`miner.executor: local`" in error.value.remedy


class _Network(torch.nn.Module):
    """Notes where it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def to(self, device: str) -> _Network:  # type: ignore[override]
        self.sent.append(device)
        return self


def test_a_network_travels_in_main_memory_and_runs_on_the_worker_s_own_card() -> None:
    network = _Network()
    reader = Reader(network, "scores", 4, 8, Compute("cuda:1", "float32"))
    packed = _packed(reader)
    assert isinstance(packed, Reader)
    assert (packed.network.sent, network.sent) == (["cpu"], [])
    there = _unpacked(packed)
    assert isinstance(there, Reader)
    assert (there.network.sent, there.compute.device) == (["cpu", "cuda"], "cuda")
    at_home = Reader(network, "scores", 4, 8, Compute("cpu", "float32"))
    assert _unpacked(_packed(at_home)) is at_home


class _Ray:
    """As much of Ray as is asked, at once and in this process."""

    def __init__(self, *cpus: float) -> None:
        self._nodes = [{"Alive": True, "Resources": node} for node in _cpus(*cpus)]
        self.asked: list[float] = []

    def nodes(self) -> list[dict[str, Any]]:
        return [*self._nodes, {"Alive": False, "Resources": {"CPU": 999.0}}]

    def remote(self, *, num_cpus: float, num_gpus: int) -> Any:
        self.asked.append(num_cpus)
        assert num_gpus == 0
        return lambda function: SimpleNamespace(remote=function)

    def put(self, value: Any) -> Any:
        return value

    get = put


def test_shards_are_mapped_where_nodes_are_smaller_than_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    ray = _Ray(2, 1)
    found = list(_results(ray, lambda shard: np.asarray(shard, dtype=np.float32), [[1], [2], [3]]))
    assert np.concatenate(found).tolist() == [1, 2, 3]
    assert ray.asked == [2]


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
