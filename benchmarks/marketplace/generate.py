"""The simulation put together: windows of graded pairs with their feedback, as one table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.benchmarks.marketplace.catalogue import Market, document_id, listing, open_market
from serm.benchmarks.marketplace.choose import Chooser, Chosen
from serm.benchmarks.marketplace.feedback import clicks, dwell
from serm.benchmarks.marketplace.grades import grade, relations
from serm.benchmarks.marketplace.retrieval import candidates, count_fits, ranking
from serm.benchmarks.marketplace.settings import MarketplaceSettings
from serm.benchmarks.marketplace.vocabulary import Vocabulary
from serm.storage.artifacts import write_file, write_json

MARKET = "market.json"
"""Beside the pairs: the settings that they were made from."""
_BLOCK = 512
"""Queries whose scores over the whole catalogue are held at once."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """`pairs`: what the loop may be given, a row a pair. `queries`: what only the simulation knows, a row a
    query and window: query_id, window, set, language, family, type, invented, head, asked (a count)."""

    settings: MarketplaceSettings
    pairs: pd.DataFrame
    queries: pd.DataFrame


def generate(settings: MarketplaceSettings) -> pd.DataFrame:
    """The pairs alone; see `simulate`."""
    return simulate(settings).pairs


def simulate(settings: MarketplaceSettings) -> Simulation:
    """Run the marketplace. The same settings give the same tables, to the byte.

    Raises ConfigError where the vocabulary cannot give as many different queries as are asked for.
    """
    streams = [np.random.default_rng(seed) for seed in np.random.SeedSequence(settings.seed).spawn(3)]
    market = open_market(settings, streams[0])
    chooser = Chooser(market, streams[1])
    shop = _Shop(market, streams[2])
    pairs, facts = [], []
    for window in range(settings.windows + 1):
        chosen = chooser.window(window)
        facts += [_facts(item, window, market.words) for item in chosen]
        for start in range(0, len(chosen), _BLOCK):
            pairs.append(shop.show(chosen[start : start + _BLOCK], window, chooser.shown))
    frame = pd.concat(pairs, ignore_index=True)
    frame = _with_listings(frame, market)
    order = frame.sort_values(["timestamp", "query_id", "position"], kind="stable")
    return Simulation(settings, pairs=order.reset_index(drop=True), queries=pd.DataFrame(facts))


def write(folder: Path, settings: MarketplaceSettings) -> Path:
    """Write `pairs.parquet` into `folder`, and before it what nothing in the loop reads: `queries.parquet`,
    and the settings in `market.json`."""
    simulation = simulate(settings)
    write_json(folder / MARKET, settings.to_json())
    write_file(folder / "queries.parquet", lambda path: simulation.queries.to_parquet(path, index=False))
    return write_file(folder / "pairs.parquet", lambda path: simulation.pairs.to_parquet(path, index=False))


class _Shop:
    """Answers queries: candidates, their ranking, and what people did with them."""

    def __init__(self, market: Market, rng: np.random.Generator) -> None:
        self._settings, self._catalogue, self._rng = market.settings, market.catalogue, rng
        self._relations = relations(market.words.types)

    def show(self, chosen: list[Chosen], window: int, shown: dict[str, NDArray[np.int64]]) -> pd.DataFrame:
        """One block of queries of one window; `shown` is extended by what each one got."""
        settings, rng = self._settings, self._rng
        listed = self._catalogue.listed(window)
        queries = [item.query for item in chosen]
        asked = np.asarray([query.asked for query in queries])
        relation = self._relations[[query.type for query in queries]][:, self._catalogue.type[listed]]
        fits = count_fits(asked, self._catalogue.values[listed])
        barred = np.zeros(relation.shape, dtype=bool)
        for row, query in enumerate(queries):
            if query.id in shown:
                barred[row] = np.isin(listed, shown[query.id])
        target = np.searchsorted(listed, [query.target for query in queries])
        found = candidates(relation, fits, barred=barred, target=target, settings=settings.retriever, rng=rng)
        for row, query in enumerate(queries):
            shown[query.id] = np.union1d(shown.get(query.id, ()), listed[found[row]]).astype(np.int64)

        relation = np.take_along_axis(relation, found, axis=1)
        fits = np.take_along_axis(fits, found, axis=1)
        invented = np.asarray([query.invented for query in queries])
        position = ranking(relation, fits, invented=invented, settings=settings.retriever, rng=rng).ravel()
        grades = grade(relation, fits == (asked >= 0).sum(axis=1, keepdims=True)).ravel()
        repeat = settings.retriever.candidates
        impressions = np.repeat([item.impressions for item in chosen], repeat)
        clicked = clicks(grades, position, impressions, settings.feedback, rng)
        return pd.DataFrame(
            {
                "query_id": np.repeat([query.id for query in queries], repeat),
                "query": np.repeat([query.text for query in queries], repeat),
                "product": listed[found].ravel(),
                "grade": grades.astype(np.int64),
                "split": np.repeat([item.set for item in chosen], repeat),
                "language": np.repeat([query.language for query in queries], repeat),
                "timestamp": np.repeat(self._times(window, len(queries)), repeat),
                "impressions": impressions,
                "clicks": clicked,
                "dwell_seconds": dwell(grades, clicked, settings.feedback, rng),
                "position": position,
            }
        )

    def _times(self, window: int, count: int) -> NDArray[np.datetime64]:
        first, seconds = window_start(self._settings, window), self._settings.window_days * 86_400
        offsets = self._rng.integers(seconds, size=count).astype("timedelta64[s]")
        return np.datetime64(first, "s") + offsets


def windows_of(pairs: pd.DataFrame, settings: MarketplaceSettings) -> NDArray[np.int64]:
    """(n,) the window that each row of pairs is logged in, by its moment; 0 is before the first."""
    starts = [np.datetime64(window_start(settings, number)) for number in range(1, settings.windows + 1)]
    return np.searchsorted(np.array(starts), pairs["timestamp"].to_numpy(), side="right")


def window_start(settings: MarketplaceSettings, window: int) -> datetime:
    """When a window begins; it ends where the next one begins."""
    return settings.start + timedelta(days=settings.window_days * window)


def _with_listings(frame: pd.DataFrame, market: Market) -> pd.DataFrame:
    """Replace the column `product` by doc_id, title and text in the query's language."""
    codes, distinct = pd.factorize(
        pd.MultiIndex.from_arrays([frame["product"], frame["language"]]), sort=False
    )
    columns: Iterator[tuple[str, str, str]] = (
        (
            document_id(market, product, language),
            *listing(market, product, language),
        )
        for product, language in distinct
    )
    doc_id, title, text = (np.asarray(column, dtype=object) for column in zip(*columns, strict=True))
    frame = frame.drop(columns="product")
    frame.insert(2, "doc_id", doc_id[codes])
    frame.insert(3, "title", title[codes])
    frame.insert(4, "text", text[codes])
    return frame


def _facts(item: Chosen, window: int, words: Vocabulary) -> dict[str, object]:
    kind = words.types[item.query.type]
    return {
        "query_id": item.query.id,
        "window": window,
        "set": item.set,
        "language": item.query.language,
        "family": kind.family,
        "type": kind.id,
        "new": kind.new,
        "invented": item.query.invented,
        "head": item.query.head,
        "asked": sum(value >= 0 for value in item.query.asked),
    }
