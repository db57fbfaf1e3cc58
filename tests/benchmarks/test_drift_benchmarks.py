"""The drift benchmarks count what they say, on a small market."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from serm.benchmarks.marketplace.settings import MarketplaceSettings
from serm.benchmarks.mining import drift_power
from serm.benchmarks.mining.drift_found import BY, Intent, _intents, undrifted_alarms, windows_found
from serm.benchmarks.mining.market_drift import MarketQueries, market_queries
from serm.relevance_model.base import FloatArray


class Letters:
    """Embeds a text as its letters' counts: enough of a model for queries that share words."""

    def embed_queries(self, texts: list[str]) -> FloatArray:
        rows = np.array(
            [[text.count(chr(97 + i)) + 0.1 for i in range(26)] for text in texts], dtype=np.float32
        )
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def queries() -> MarketQueries:
    return market_queries(MarketplaceSettings(windows=2, queries_per_window=300), Letters())  # type: ignore[arg-type]


def test_the_table_knows_what_is_new_in_which_window(queries: MarketQueries) -> None:
    table = queries.table
    assert set(table.loc[table["window"] == 0, "since"]) == {0}
    assert (table["since"] <= table["window"]).all()
    new = table[(table["since"] == 1) & (table["window"] == 1)]
    assert {"grow_tower", "running_shoes"} <= set(new["intent"])
    assert len(queries.before(2)) == 2
    assert [part.tolist() for part in queries.before(2, last=True)] == [queries.window(1).tolist()]


def test_the_longer_side_is_thinned_to_the_requests_of_the_shorter_one(queries: MarketQueries) -> None:
    table = queries.table
    assert not table.duplicated(["window", "query"]).any()
    asked = table.groupby("window")["asked"].sum()
    before, now = queries.compared(queries.before(1), queries.window(1), seed=0)
    assert before.requests == asked[0] < asked[1], "the seed is the shorter one"
    assert before.counted.all()
    times = table.loc[queries.window(1), "asked"].to_numpy()
    assert 0 < times[~now.counted].mean() < times[now.counted].mean(), "what was seldom asked goes"
    longer, shorter = queries.compared([queries.window(1)], queries.window(0), seed=0)
    assert longer.counted.sum() < len(longer)
    assert shorter.counted.all()


def test_new_words_are_found_and_undrifted_halves_are_quiet(queries: MarketQueries) -> None:
    first, second = windows_found(queries, last=False, seed=0)
    assert all(intent.queries >= 3 for intent in first.large("queries"))
    for by in BY:
        found = [len(window.large(by)) - len(window.missed(by)) for window in (first, second)]
        assert sum(found) >= 4
    assert first.false + second.false <= 1
    alarms, windows = undrifted_alarms(queries, 5, 0)
    assert windows == 10
    assert alarms <= 3


def test_an_intents_share_is_of_queries_or_of_requests() -> None:
    table = pd.DataFrame({"intent": ["new", "new", "", ""], "asked": [6, 2, 1, 1]})
    fresh, told = np.array([True, True, False, False]), np.array([False, True, False, True])
    assert list(_intents(table, fresh, told)) == [
        Intent("new", 2, {"queries": 0.5, "traffic": 0.8}, {"queries": 0.5, "traffic": 0.25})
    ]


def test_a_share_of_the_second_sample_is_one_intent_of_a_later_window(
    queries: MarketQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift_power, "SIZE", 100)
    before, now = drift_power.two_samples(queries, 0.05, np.random.default_rng(0))
    assert (len(before), len(now)) == (100, 100)
    later = queries.table[queries.table["since"] > 1].groupby("intent")["query"].agg(set)
    assert any(set(now.names[:5]) <= names for names in later)
