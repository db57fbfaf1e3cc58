"""The desk that a round opens: dear things once, and only for the pairs that survive."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serm.agents.miners import mine_with
from serm.benchmarks.mining.memory import write_window
from serm.benchmarks.mining.stub_encoder import stub_model
from serm.core.records import PairKey
from serm.core.settings_miner import MinerSettings
from serm.evals.leakage import word_set
from serm.graphs.desks import mining_desk
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.pairs import CodedPairs
from serm.relevance_model.scoring import score_frame
from serm.storage.dataset import read_coded
from serm.tools.desk import MiningDesk
from serm.tools.query_sample import QuerySample

POOL = 40


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[CodedPairs]:
    """The pairs of every call for stochastic passes."""
    calls: list[CodedPairs] = []
    plain = BiEncoder.stochastic

    def watched(self: BiEncoder, pairs: CodedPairs, **named: Any) -> Any:
        calls.append(pairs)
        return plain(self, pairs, **named)

    monkeypatch.setattr(BiEncoder, "stochastic", watched)
    return calls


def desk_of(folder: Path, **more: Any) -> MiningDesk:
    write_window(folder / "window.parquet", queries=30, documents=5_000, candidates=10, seed=0)
    window, model = read_coded(folder / "window.parquet"), stub_model(0)
    earlier = QuerySample(np.zeros((0, model.encoder.dim), dtype=np.float32))
    settings = MinerSettings(pool=POOL)
    return mining_desk(window, model, score_frame(model, window), earlier, settings=settings, seed=1, **more)


def test_agents_in_parallel_share_one_run_of_the_passes_over_the_pool_alone(
    tmp_path: Path, asked: list[CodedPairs]
) -> None:
    desk = desk_of(tmp_path)
    with ThreadPoolExecutor(2) as threads:
        tables = list(threads.map(lambda name: mine_with(name, desk, None, 20), ("disagreement", "bald")))
    assert [len(table) for table in tables] == [20, 20]
    assert len(asked) == 1
    assert len(asked[0]) == POOL
    pool = desk.most_uncertain(POOL)
    assert set(asked[0].documents) == set(desk.window["text"].iloc[pool])  # no other text is read
    assert desk.entropy[pool].min() >= np.delete(desk.entropy, pool).max()


def test_a_labelled_pair_is_in_no_pool(tmp_path: Path, asked: list[CodedPairs]) -> None:
    most = desk_of(tmp_path).most_uncertain(3)
    keys = desk_of(tmp_path).keys(most)
    desk = desk_of(tmp_path, labelled=frozenset([*keys, PairKey("q1", "of another window")]))
    assert not set(desk.most_uncertain(POOL).tolist()) & set(most.tolist())
    assert (~desk.unlabelled).sum() == 3


def test_a_query_that_reads_like_a_held_out_one_is_not_nominated(tmp_path: Path) -> None:
    query = desk_of(tmp_path).window["query"].iloc[7]
    desk = desk_of(tmp_path, held_out={word_set(", ".join(reversed(query.upper().split())))})
    same = (desk.window["query"] == query).to_numpy()
    assert 0 < same.sum() < len(same)
    assert (desk.unlabelled == ~same).all()
    assert not same[desk.most_uncertain(len(same))].any()


def test_the_committee_is_opened_when_it_is_asked_and_sees_what_the_window_was_scored_with(
    tmp_path: Path,
) -> None:
    opened: list[int] = []

    def other() -> BiEncoder:
        opened.append(1)
        return stub_model(7)

    desk = desk_of(tmp_path, others=[other])
    assert desk.committee is not None
    assert not opened
    rows = desk.most_uncertain(POOL)
    members = desk.committee(rows)
    assert (desk.committee(rows) == members).all()
    assert opened == [1]
    assert (members[0] == desk.scores.expected[rows]).all()
    assert (members[0] != members[1]).any()
