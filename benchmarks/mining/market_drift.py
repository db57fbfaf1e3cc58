"""The marketplace's queries window by window, with what is new among them: what drift is to be found in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.benchmarks.marketplace.drift import schedule
from serm.benchmarks.marketplace.generate import simulate
from serm.benchmarks.marketplace.settings import MarketplaceSettings
from serm.benchmarks.marketplace.vocabulary import vocabulary
from serm.relevance_model.base import FloatArray, RelevanceModel
from serm.tools.query_sample import QuerySample

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class MarketQueries:
    """The seed (window 0) and the stream of a market.

    `table`: a row a query and window, with query, language, window, intent (a new type, or an old one by its
    invented name; "" for all others) and since (the window that brought the intent).
    """

    market: MarketplaceSettings
    table: pd.DataFrame
    vectors: FloatArray

    def sample(self, rows: Mask) -> QuerySample:
        part = self.table[rows]
        return QuerySample(self.vectors[rows], part["query"].tolist(), part["language"].tolist())

    def window(self, number: int) -> Mask:
        return (self.table["window"] == number).to_numpy()

    def before(self, number: int, *, last: bool = False) -> Mask:
        """The queries of all windows before one, or of the last of them."""
        windows = self.table["window"].to_numpy()
        return np.asarray(windows == number - 1 if last else windows < number)

    def grew(self, number: int, *, last: bool = False) -> Mask:
        """Queries of intents whose share is larger in a window than before it, by the schedule."""
        since = self.table["since"].to_numpy()
        fresh = since == number if last else (since > 0) & (since <= number)
        return np.asarray(fresh | (self.table["family"] == self.market.drift.growing).to_numpy())


def market_queries(market: MarketplaceSettings, model: RelevanceModel) -> MarketQueries:
    """Simulate a market and embed what the loop sees of its queries: the seed and the stream."""
    simulation = simulate(market)
    texts = simulation.pairs.drop_duplicates("query_id").set_index("query_id")["query"]
    table = simulation.queries[simulation.queries["set"].isin(["seed", "stream"])].reset_index(drop=True)
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
    table = table.assign(
        query=texts.loc[table["query_id"]].to_numpy(),
        since=since,
        intent=np.where(since > 0, table["type"], ""),
    )
    return MarketQueries(market, table, model.embed_queries(table["query"].tolist()))
