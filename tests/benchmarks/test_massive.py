"""The benchmarks of a massive stream, at a size for a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serm.benchmarks.mining import cascade, memory, speed
from serm.benchmarks.mining.stub_encoder import stub_model
from serm.core.settings_loop import MinerSettings
from serm.storage.dataset import CODED, read_coded
from serm.tools.query_sample import QuerySample


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
    assert "row_of" not in vars(desk)  # no object for each row of the window was made


def test_a_cascade_with_room_for_all_pairs_is_full_scoring_and_another_draw_is_not(window_file: Path) -> None:
    pairs, model = read_coded(window_file), stub_model(0)
    names = [f"t{topic}x1 w{topic}" for topic in range(60)]
    window = cascade.Window(pairs, model, QuerySample(model.embed_queries(names), names), seed=3)
    ways = cascade.ways_of(len(pairs), [1.0, 0.05], [None])
    passes = cascade.Passes(window)
    table = cascade.compare(window, 60, ways, cascade.AGENTS, passes).set_index("way")
    whole = table.loc["pool 600 (100%), dropout in all layers"]
    assert whole["selection shared"] == whole["bald shared"] == "100.0%"
    few, other = (
        table.loc[way, "bald shared"] for way in ("pool 30 (5%), dropout in all layers", "another draw")
    )
    assert float(few.rstrip("%")) < 100
    assert float(other.rstrip("%")) < 100


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
