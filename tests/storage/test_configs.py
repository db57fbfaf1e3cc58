"""The shipped configs make of the real data what the protocols say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from serm.core import Settings
from serm.core.hashing import query_bucket
from serm.storage.dataset import DataSet
from serm.storage.ingest import ingest
from serm.storage.workspace import Workspace

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
Find = Callable[[str], Path]
Open = Callable[[str], DataSet]


@pytest.fixture
def opened(tmp_path: Path, shared_data: Find) -> Open:
    def run(name: str, *needs: str) -> DataSet:
        folders = [shared_data(need) for need in needs]
        written = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8")
        assert "../../shared/data/" in written
        config = tmp_path / "serm.yaml"
        config.write_text(written.replace("../../shared/data", str(folders[0].parent)), encoding="utf-8")
        settings = Settings.from_yaml(config, {"SERM_WORKSPACE": str(tmp_path / "work")})
        with Workspace.open(settings) as workspace:
            return ingest(settings, workspace)

    return run


def counts(dataset: DataSet) -> dict[str, int]:
    """Queries of each window and test."""
    windows = {window.name: window.queries for window in dataset.windows}
    return windows | {f"test {test.name}": test.queries for test in dataset.tests}


def test_markets_has_the_questions_of_the_protocol(opened: Open) -> None:
    dataset = opened("markets", "markets")
    languages = ("en", "es", "de", "zh", "ar")
    stream = dict(zip(languages, (181 - 50, 128, 113, 124, 86), strict=True))
    assert counts(dataset) == stream | {f"test {language}": 265 for language in languages}
    assert (dataset.seed_counts.queries, dataset.seed_counts.pairs) == (50, 1_000)
    assert [dataset.gate(index)["query_id"].nunique() for index in range(-1, 5)] == [
        293 * opened for opened in (1, 1, 2, 3, 4, 5)
    ]
    assert dataset.seed()["language"].unique().tolist() == ["en"]
    assert dataset.gate(0)["window"].unique().tolist() == [0]
    assert not dataset.rejected
    assert not dataset.left_out
    assert dataset.static_test is not None
    assert dataset.last_test is not None
    assert (dataset.static_test.name, dataset.last_test.name) == ("en", "ar")
    assert [window.name for window in dataset.windows] == list(languages)
    times = [dataset.window(index)["timestamp"].min() for index in range(5)]
    assert times == sorted(times)


def test_verticals_deals_queries_out_by_their_hash(opened: Open, shared_data: Find) -> None:
    dataset = opened("verticals", "trec-dl", "antique", "chorus")
    frames = {
        name: pd.read_parquet(shared_data(name) / "pairs.parquet")
        for name in ("trec-dl", "antique", "chorus")
    }
    buckets = {name: frame["query_id"].map(lambda q: query_bucket(q, 5)) for name, frame in frames.items()}
    years = frames["trec-dl"]["timestamp"].dt.year
    stream = {name: bucket.isin([3, 4]) for name, bucket in buckets.items()}
    assert [window.name for window in dataset.windows] == ["web-2020", "web-2021", "answers", "shopping"]
    assert [window.pairs for window in dataset.windows] == [
        int((stream["trec-dl"] & (years == 2020)).sum()),
        int((stream["trec-dl"] & (years == 2021)).sum()),
        int(stream["antique"].sum()),
        int(stream["chorus"].sum()),
    ]
    assert dataset.seed_counts.pairs == int((stream["trec-dl"] & (years == 2019)).sum())
    assert dataset.gate_counts.pairs == sum(int((bucket == 0).sum()) for bucket in buckets.values())
    assert {test.name: test.pairs for test in dataset.tests} == {
        "web": int(buckets["trec-dl"].isin([1, 2]).sum()),
        "answers": int(buckets["antique"].isin([1, 2]).sum()),
        "shopping": int(buckets["chorus"].isin([1, 2]).sum()),
    }
    assert dataset.gate(-1)["timestamp"].dt.year.unique().tolist() == [2019]
    assert not dataset.rejected
    assert not dataset.left_out


def test_trec_dl_halves_each_year_and_keeps_the_last_half_for_the_test(opened: Open) -> None:
    dataset = opened("trec-dl", "trec-dl")
    assert [window.name for window in dataset.windows] == ["2020a", "2020b", "2021a"]
    assert dataset.seed()["timestamp"].dt.year.unique().tolist() == [2019]
    assert dataset.test("2021b")["timestamp"].dt.year.unique().tolist() == [2021]
    opened_first = dataset.gate(-1)
    assert opened_first["timestamp"].dt.year.unique().tolist() == [2019]
    later = dataset.gate(2)
    later = later[later["timestamp"].dt.year > 2019]
    assert {query_bucket(query_id, 5) for query_id in later["query_id"]} == {0}
    total = dataset.seed_counts.queries + dataset.gate_counts.queries + sum(counts(dataset).values())
    assert total == 150


@pytest.mark.parametrize("name", ["verticals", "markets", "trec-dl"])
def test_every_shipped_config_is_valid_and_its_judges_have_names_of_their_own(name: str) -> None:
    settings = Settings.from_yaml(CONFIGS / f"{name}.yaml", {})
    names = [judge.name or judge.backend for judge in settings.judges]
    assert len(set(names)) == len(names) >= 3
    sources = {source.label for source in settings.data.sources}
    for source in sources:
        panel = [judge for judge in settings.judges if not judge.sources or source in judge.sources]
        assert len(panel) == 3


def test_chorus_keeps_its_queries_and_changes_its_products(opened: Open) -> None:
    dataset = opened("chorus", "chorus")
    assert [window.name for window in dataset.windows] == ["to-2006", "2007-08", "2009-10", "from-2011"]
    assert dataset.rejected == 0
    assert not dataset.left_out
    tested = set(dataset.test("all products")["query_id"])
    assert {query_bucket(query, 6) for query in tested} <= {0, 1}
    assert len(tested) == 46
    for window in dataset.windows:
        assert not tested & set(dataset.window(window.index)["query_id"])
