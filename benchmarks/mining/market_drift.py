"""The marketplace's queries window by window, with what is new among them: what drift is to be found in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.benchmarks.marketplace.drift import schedule
from serm.benchmarks.marketplace.generate import Simulation, simulate, windows_of
from serm.benchmarks.marketplace.settings import MarketplaceSettings
from serm.benchmarks.marketplace.vocabulary import vocabulary
from serm.graphs.reference import asked_in, distinct_queries
from serm.relevance_model.base import FloatArray, RelevanceModel
from serm.tools.exposure import stretches, thinned_now
from serm.tools.query_sample import QuerySample

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class MarketQueries:
    """The seed (window 0) and the stream of a market.

    `table`: a row a query and window, with query, language, asked (how often, by its impressions), window,
    intent (a new type, or an old one by its invented name; "" for all others) and since (the window that
    brought the intent).
    """

    market: MarketplaceSettings
    table: pd.DataFrame
    vectors: FloatArray

    def sample(self, rows: Mask) -> QuerySample:
        part = self.table[rows]
        return QuerySample(self.vectors[rows], part["query"].tolist(), part["language"].tolist())

    def compared(self, earlier: Sequence[Mask], now: Mask, *, seed: int) -> tuple[QuerySample, QuerySample]:
        """Parts of what came before, oldest first, and what they are compared with, as the drift agent has
        them: all thinned to one number of requests (graphs/reference.py, `MiningDesk.current`)."""
        current = asked_in(self.table[now])
        counts, requests = stretches([asked_in(self.table[part]) for part in earlier], current, seed=seed)
        before = np.logical_or.reduce(earlier)  # the table is in the windows' order, and so are the parts
        return (
            replace(self.sample(before), counts=np.concatenate(counts), requests=requests),
            replace(self.sample(now), counts=thinned_now(current.times, requests, seed=seed)),
        )

    def window(self, number: int) -> Mask:
        return (self.table["window"] == number).to_numpy()

    def before(self, number: int, *, last: bool = False) -> list[Mask]:
        """The queries of each window before one, the oldest first, or of the last of them."""
        return [self.window(place) for place in range(number - 1 if last else 0, number)]

    def grew(self, number: int, *, last: bool = False) -> Mask:
        """Queries of intents whose share is larger in a window than before it, by the schedule."""
        since = self.table["since"].to_numpy()
        fresh = since == number if last else (since > 0) & (since <= number)
        return np.asarray(fresh | (self.table["family"] == self.market.drift.growing).to_numpy())


def market_queries(market: MarketplaceSettings, model: RelevanceModel) -> MarketQueries:
    """Simulate a market and embed what the loop sees of its queries: the seed and the stream."""
    table = _queries(simulate(market))
    words = vocabulary()
    plan = schedule(market, words)
    launch = {item.id: int(plan.launch[row]) for row, item in enumerate(words.types)}
    renamed = {item.id: int(plan.slang_from[row]) for row, item in enumerate(words.types)}
    since = np.array(
        [
            launch[kind] if launch[kind] > 0 else renamed[kind] if invented else 0
            for kind, invented in zip(table["type"], table["invented"], strict=True)
        ]
    )
    table = table.assign(since=since, intent=np.where(since > 0, table["type"], ""))
    return MarketQueries(market, table, model.embed_queries(table["query"].tolist()))


def _queries(simulation: Simulation) -> pd.DataFrame:
    """The queries of each window as the loop counts them, one of a text, with what the simulation knows."""
    pairs = simulation.pairs[simulation.pairs["split"].isin(["seed", "stream"])]
    settings = simulation.settings
    windows = windows_of(pairs, settings)
    parts = [_of_window(pairs[windows == number], number) for number in range(settings.windows + 1)]
    facts = simulation.queries[["query_id", "window", "family", "type", "invented"]]
    return pd.concat(parts).merge(facts, on=["query_id", "window"], validate="one_to_one")


def _of_window(pairs: pd.DataFrame, number: int) -> pd.DataFrame:
    first = pairs.drop_duplicates("query")  # the same text in two languages has two ids
    return distinct_queries(pairs).assign(query_id=first["query_id"].to_numpy(), window=number)
