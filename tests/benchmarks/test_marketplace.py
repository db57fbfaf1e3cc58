"""The simulated marketplace keeps what docs/marketplace.md states."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serm.benchmarks.marketplace.config import marketplace_config
from serm.benchmarks.marketplace.generate import Simulation, simulate, window_start, write
from serm.benchmarks.marketplace.settings import LANGUAGES, MarketplaceSettings
from serm.benchmarks.marketplace.vocabulary import vocabulary
from serm.core.columns import PAIR
from serm.core.errors import ConfigError
from serm.core.hashing import query_bucket

SETS = {0: "gate", 1: "test"}


@pytest.fixture(scope="module")
def market() -> Simulation:
    return simulate(MarketplaceSettings())


@pytest.fixture(scope="module")
def harsh() -> Simulation:
    return simulate(MarketplaceSettings.of("harsh"))


def window_of(simulation: Simulation) -> pd.Series:
    days = (simulation.pairs["timestamp"] - pd.Timestamp(simulation.settings.start)).dt.days
    return days // simulation.settings.window_days


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first = write(tmp_path / "a", MarketplaceSettings(windows=1))
    again = write(tmp_path / "b", MarketplaceSettings(windows=1))
    other = write(tmp_path / "c", MarketplaceSettings(windows=1, seed=8))
    assert digest(first) == digest(again)
    assert digest(first.with_name("queries.parquet")) == digest(again.with_name("queries.parquet"))
    assert digest(first) != digest(other)


def test_the_columns_are_those_of_the_formats(market: Simulation) -> None:
    pairs = market.pairs
    assert set(pairs.columns) == set(PAIR)
    assert pairs["grade"].isin([0, 1, 2, 3]).all()
    assert set(pairs["language"]) == set(LANGUAGES)
    for column in ("query", "title", "text", "query_id", "doc_id"):
        assert pairs[column].str.strip().str.len().gt(0).all()
    assert not pairs.duplicated(["query_id", "doc_id"]).any()
    assert pairs["timestamp"].is_monotonic_increasing


def test_every_query_is_in_one_set_and_the_hash_of_its_id_says_which(market: Simulation) -> None:
    pairs = market.pairs
    assert (pairs.groupby("query_id")["split"].nunique() == 1).all()
    for query_id, name in pairs.groupby("query_id")["split"].first().items():
        bucket = query_bucket(str(query_id), 5)
        assert SETS.get(bucket, name) == name
        assert name != "seed" or bucket in (2, 3)


def test_no_text_stands_in_two_sets_in_whatever_language(market: Simulation, harsh: Simulation) -> None:
    for simulation in (market, harsh):
        assert (simulation.pairs.groupby("query")["split"].nunique() == 1).all()


def test_the_seed_and_the_static_test_are_from_before_the_drift(market: Simulation) -> None:
    windows, split = window_of(market), market.pairs["split"]
    assert set(windows[split == "seed"]) == {0}
    assert set(windows[split == "stream"]) == {1, 2, 3}
    assert set(windows[split == "gate"]) == {0, 1, 2, 3}
    assert set(windows[split == "test"]) == {0, 3}


def test_every_window_has_as_many_queries_as_was_asked_for(market: Simulation) -> None:
    count = market.pairs.groupby([window_of(market), "split"])["query_id"].nunique()
    settings = market.settings
    assert count[0].to_dict() == {
        "seed": settings.seed_queries,
        "gate": settings.seed_gate,
        "test": settings.static_test,
    }
    assert count[3].to_dict() == {
        "stream": settings.queries_per_window,
        "gate": settings.gate_per_window,
        "test": settings.last_test,
    }
    assert (market.pairs.groupby(["query_id", window_of(market)]).size() == 20).all()
    assert settings.gate_per_window >= 30
    assert settings.static_test >= 100


def test_windows_in_between_have_test_queries_where_asked_for_and_a_test_set_of_them() -> None:
    settings = MarketplaceSettings(window_test=30)
    simulation = simulate(settings)
    tested = simulation.pairs[simulation.pairs["split"] == "test"]
    count = tested.groupby(window_of(simulation).loc[tested.index])["query_id"].nunique()
    assert count.to_dict() == {0: settings.static_test, 1: 30, 2: 30, 3: settings.last_test}
    named = [item["name"] for item in marketplace_config(settings)["data"]["tests"]]
    assert named == ["static", "window-1", "window-2", "last"]
    with pytest.raises(ConfigError, match="window_test is -1"):
        MarketplaceSettings(window_test=-1)


def test_popular_queries_come_again_in_later_windows_and_are_shown_other_products() -> None:
    simulation = simulate(MarketplaceSettings(queries_per_window=300, products_per_type=20))
    stream = simulation.queries[simulation.queries["set"] == "stream"]
    times = stream.groupby("query_id")["window"].nunique()
    assert (times > 1).mean() > 0.05
    assert stream[stream["query_id"].isin(times[times > 1].index)]["head"].mean() > 0.5


def test_nothing_new_is_asked_before_its_stated_window(market: Simulation, harsh: Simulation) -> None:
    words = vocabulary()
    for simulation in (market, harsh):
        drift = simulation.settings.drift
        seen = simulation.queries.groupby("family")["window"].min()
        launched = drift.new_families * simulation.settings.windows
        for rank, family in enumerate(words.new_families[:launched]):
            assert seen[family] == 1 + rank // drift.new_families
        assert not set(words.new_families[launched:]) & set(seen.index)
        invented = simulation.queries[simulation.queries["invented"] & ~simulation.queries["new"]]
        first = invented.groupby("type")["window"].min()
        for rank, name in enumerate(words.renamed):
            if name in first:
                assert first[name] >= 1 + rank // drift.renamed


def test_an_invented_word_is_in_no_text_before_its_window_and_hardly_in_a_document_after(
    market: Simulation,
) -> None:
    pairs, windows = market.pairs, window_of(market)
    documents = pairs["title"] + " " + pairs["text"]
    zorblet = pairs["query"].str.contains("zorblet")
    assert windows[zorblet].min() == 1
    assert zorblet[windows == 1].any()
    assert not pairs["query"].str.contains("breevok")[windows < 2].any()
    assert not documents.str.contains("zorblet|fliptar|vooms|spundle")[windows == 0].any()
    towers = pairs[pairs["text"].str.contains("Raises salad on stacked shelves")].drop_duplicates("doc_id")
    assert towers["text"].str.contains("zorblet").mean() < 0.2


def test_one_intent_grows_and_one_dies() -> None:
    simulation = simulate(MarketplaceSettings(windows=5, queries_per_window=600, products_per_type=20))
    share = simulation.queries.groupby("window")["family"].value_counts(normalize=True).unstack().fillna(0.0)
    assert share.loc[5, "scooters"] > 2 * share.loc[0, "scooters"]
    assert share.loc[5, "players"] < share.loc[0, "players"] / 10


def test_the_harsh_preset_drifts_more_and_has_fewer_popular_queries(
    market: Simulation, harsh: Simulation
) -> None:
    last = [item.queries[item.queries["window"] == 3] for item in (market, harsh)]
    assert last[1]["invented"].mean() > last[0]["invented"].mean()
    assert last[1]["head"].mean() < last[0]["head"].mean()


def test_every_query_has_an_exact_product_and_most_lists_hold_three_grades(market: Simulation) -> None:
    grades = market.pairs.groupby(["query_id", window_of(market)])["grade"]
    assert (grades.max() == 3).all()
    assert (grades.nunique() >= 3).mean() > 0.8


def test_some_irrelevant_candidates_share_words_with_the_query(market: Simulation) -> None:
    wrong = market.pairs[(market.pairs["grade"] == 0) & (market.pairs["language"] == "en")]
    shared = [
        bool((set(query.split()) - {"for", "the"}) & set(re.findall(r"\w+", f"{title} {text}".lower())))
        for query, title, text in zip(wrong["query"], wrong["title"], wrong["text"], strict=True)
    ]
    assert np.mean(shared) > 0.2


def test_clicks_give_back_the_stated_examination_and_dwell_the_stated_medians() -> None:
    simulation = simulate(MarketplaceSettings(queries_per_window=500, products_per_type=20))
    pairs, stated = simulation.pairs, simulation.settings.feedback
    attracted = np.asarray(stated.attraction)[pairs["grade"]]
    expected = (pairs["impressions"] * attracted).groupby(pairs["position"]).sum()
    examined = pairs["clicks"].groupby(pairs["position"]).sum() / expected
    positions = np.arange(1, 21)
    slope = np.polyfit(np.log(positions), np.log(examined.loc[positions]), 1)[0]
    assert slope == pytest.approx(-stated.examination, abs=0.05)
    assert examined.loc[1] == pytest.approx(1.0, abs=0.05)
    clicked = pairs[pairs["clicks"] > 0]
    medians = clicked.groupby("grade")["dwell_seconds"].median()
    np.testing.assert_allclose(medians, stated.dwell, rtol=0.15)
    assert pairs.loc[pairs["clicks"] == 0, "dwell_seconds"].isna().all()
    assert (pairs["clicks"] <= pairs["impressions"]).all()


def test_positions_run_from_one_to_twenty_in_every_list(market: Simulation) -> None:
    lists = market.pairs.groupby(["query_id", window_of(market)])["position"]
    assert lists.apply(lambda positions: sorted(positions) == list(range(1, 21))).all()


def test_timestamps_lie_in_the_window(market: Simulation) -> None:
    settings, pairs = market.settings, market.pairs
    last = pairs[window_of(market) == 3]["timestamp"]
    assert last.min() >= pd.Timestamp(window_start(settings, 3))
    assert last.max() < pd.Timestamp(window_start(settings, 4))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: MarketplaceSettings.of("mild"), "no preset mild"),
        (lambda: MarketplaceSettings(windows=0), "windows is 0"),
        (lambda: MarketplaceSettings(seed=-1), "seed of the marketplace"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_a_sentence(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


def test_a_vocabulary_that_is_too_small_is_told_of_instead_of_drawing_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serm.benchmarks.marketplace.choose._PATIENCE", 1)
    with pytest.raises(ConfigError, match="too small for window 0"):
        simulate(MarketplaceSettings())
