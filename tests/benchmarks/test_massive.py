"""The benchmarks of a massive stream, at a size for a test."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serm.benchmarks.mining import cascade, memory, passes_cost, speed
from serm.benchmarks.mining.stub_encoder import stub_model
from serm.core.settings_loop import ModelSettings
from serm.core.settings_miner import MinerSettings
from serm.relevance_model.pairs import CodedPairs
from serm.storage.dataset import CODED, PAIRS_SCHEMA, read_coded
from serm.tools.query_sample import QuerySample

pytestmark = pytest.mark.slow  # the benchmarks of mining, small

T = TypeVar("T")
BYTES_A_PAIR = 360
"""At a step's peak, in arrays of numpy's and objects of Python's. Measured: 238 (uncertainty), 2026-11-29."""


@pytest.fixture(scope="module")
def window_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("massive") / "window.parquet"
    memory.write_window(path, queries=60, documents=5_000, candidates=10, seed=0)
    return path


def test_a_window_is_read_with_each_text_once(window_file: Path) -> None:
    frame = read_coded(window_file)
    assert len(frame) == 600
    assert not frame.duplicated(["query_id", "doc_id"]).any()
    for name in CODED:
        assert frame[name].dtype == "category"
        assert frame[name].cat.categories.is_unique


def test_every_step_of_mining_is_measured(window_file: Path) -> None:
    meter = memory.Meter()
    settings = MinerSettings(pool=50)
    desk = memory.mine_window(window_file, stub_model(0), settings, 40, meter)
    steps = [row["step"] for row in meter.rows]
    assert steps[:4] == ["read", "texts by number", "score", "open the desk"]
    assert steps[4:] == [*settings.agents, "select"]
    assert meter.after("score") == steps[3:], "neither the writing nor the reading of the file"
    assert "row_of" not in vars(desk)  # no object for each row of the window was made


class Traced(memory.Meter):
    """Keeps the most bytes that were traced in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: dict[str, int] = {}

    def step(self, name: str, do: Callable[[], T]) -> T:
        tracemalloc.reset_peak()
        value = super().step(name, do)
        self.bytes[name] = tracemalloc.get_traced_memory()[1]
        return value


def crossed(window: Path, documents: int, path: Path) -> int:
    """Writes each query of a window with each of so many of its documents: many pairs of few texts."""
    frame = pd.read_parquet(window)
    queries = frame.drop_duplicates("query_id")[["query_id", "query", "language", "source"]]
    texts = frame.drop_duplicates("doc_id")[["doc_id", "title", "text"]].head(documents)
    pairs = queries.merge(texts, how="cross")
    rng = np.random.default_rng(0)
    shown = rng.integers(1, 100, len(pairs))
    pairs = pairs.assign(
        timestamp=pd.NaT,
        impressions=shown.astype(float),
        clicks=rng.binomial(shown, 0.1).astype(float),
        dwell_seconds=rng.exponential(40.0, len(pairs)),
        position=rng.integers(1, 11, len(pairs)).astype(float),
    )
    pq.write_table(pa.Table.from_pandas(pairs, schema=PAIRS_SCHEMA, preserve_index=False), path)
    return len(pairs)


def test_a_pair_more_costs_few_bytes_in_any_step(window_file: Path, tmp_path: Path) -> None:
    found = []
    for documents in (300, 550):  # more pairs than are scored at a time: that block is as large as it gets
        path = tmp_path / f"{documents}.parquet"
        pairs, meter = crossed(window_file, documents, path), Traced()
        tracemalloc.start()
        try:
            memory.mine_window(path, stub_model(0), MinerSettings(pool=50), 40, meter)
        finally:
            tracemalloc.stop()
        found.append((pairs, meter.bytes))
    (few, before), (many, after) = found
    each = {step: (after[step] - before[step]) / (many - few) for step in before}
    assert max(each.values()) < BYTES_A_PAIR, each


@pytest.fixture(scope="module")
def shares(window_file: Path) -> pd.DataFrame:
    """What cascades of several pools share with full scoring, by the default agents and BALD."""
    pairs, model = read_coded(window_file), stub_model(0)
    names = [f"t{topic}x1 w{topic}" for topic in range(60)]
    window = cascade.Window(pairs, model, QuerySample(model.embed_queries(names), names), seed=3)
    ways = cascade.ways_of(len(pairs), [1.0, 0.5, 0.05], [None])
    table = cascade.compare(window, 60, ways, cascade.AGENTS, cascade.Passes(window)).set_index("way")
    columns = ["selection shared", "disagreement shared", "bald shared"]
    return table[columns].apply(lambda column: column.str.rstrip("%").astype(float))


def test_a_cascade_with_room_for_all_pairs_is_full_scoring_and_another_draw_is_not(
    shares: pd.DataFrame,
) -> None:
    assert (shares.loc["pool 600 (100%), dropout in all layers"] == 100).all()
    assert shares.loc["pool 30 (5%), dropout in all layers", "bald shared"] < 100
    assert shares.loc["another draw", "bald shared"] < 100


def test_a_pool_of_half_the_window_shares_nine_tenths_with_full_scoring(shares: pd.DataFrame) -> None:
    half = shares.loc["pool 300 (50%), dropout in all layers"]
    assert (half >= 90).all(), half
    assert (shares.loc["another draw"] < 90).all(), "a draw of its own does not"


def test_passes_are_set_beside_scoring_by_the_distinct_queries_and_documents_of_either() -> None:
    window = CodedPairs.of(["a", "a", "b", "b"], ["w", "x", "y", "z"])
    pool = window.take(np.array([0, 1]))  # one query, two documents
    way = passes_cost.Way(None, kept=False, once=(1.0, 10.0), noisy=(4.0, 40.0))
    (row,) = passes_cost.shares(window, [pool], [way], after=1.0).to_dict("records")
    assert (row["queries"], row["documents"]) == ("1", "2")
    assert (row["scoring, s"], row["passes, s"]) == (42, 84)
    assert (row["passes"], row["all after scoring"]) == ("200%", "202%")


def test_ways_are_timed_with_lower_layers_kept_and_computed_once(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny encoder has two layers; the lower one is shared."""
    monkeypatch.setattr(passes_cost, "KEPT", 1)
    monkeypatch.setattr(
        passes_cost,
        "ModelSettings",
        lambda: ModelSettings(base=str(tiny_encoder), device="cpu", max_length=16, batch_size=8),
    )
    window = CodedPairs.of(
        [f"a{number % 20}" for number in range(60)], [f"w{number}" for number in range(60)]
    )
    ways = passes_cost.timed_ways(window, [None, 1], drawn=40, passes=2)
    assert [(way.layers, way.kept) for way in ways] == [(None, False), (1, False), (1, True)]
    assert all(min(*way.once, *way.noisy) > 0 for way in ways)


def test_a_window_repeats_its_texts_evenly_and_holds_no_pair_twice() -> None:
    pairs = speed.window_of([f"q{i}" for i in range(50)], [f"d{i}" for i in range(100)], 500, seed=0)
    assert len({*zip(pairs.query.tolist(), pairs.document.tolist(), strict=True)}) > 480
    assert set(np.bincount(pairs.query).tolist()) == {10}
    assert np.ptp(np.bincount(pairs.document, minlength=100)) <= 10
    alone = speed.window_of([f"q{i}" for i in range(70)], [f"d{i}" for i in range(70)], 70, seed=0)
    assert sorted(alone.document.tolist()) == list(range(70))


def test_further_queries_are_made_of_two() -> None:
    made = speed.many_queries(["a", "b", "c"], 7, seed=0)
    assert made[:3] == ["a", "b", "c"]
    assert len(set(made)) == 7
