"""Which queries a window has: drawn until every set is full, each query in one set for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serm.benchmarks.marketplace.catalogue import Market
from serm.benchmarks.marketplace.demand import Demand, Query
from serm.benchmarks.marketplace.settings import (
    GATE_BUCKETS,
    SEED_BUCKETS,
    SET_MODULUS,
    TEST_BUCKETS,
)
from serm.core.errors import ConfigError
from serm.core.hashing import query_bucket

SetName = Literal["seed", "gate", "stream", "test"]

_PATIENCE = 200
"""Draws for each wanted query before the vocabulary is called too small."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A query of a window, its set, and how often it was issued there."""

    query: Query
    set: SetName
    impressions: int


class Chooser:
    """Draws the windows one after another; `shown` remembers what every query was shown."""

    def __init__(self, market: Market, rng: np.random.Generator) -> None:
        self._market, self._settings, self._rng = market, market.settings, rng
        self._set_of_text: dict[str, SetName] = {}
        self._seed: set[str] = set()
        self.shown: dict[str, NDArray[np.int64]] = {}

    def window(self, window: int) -> list[Chosen]:
        """All queries of a window. A query is there once; it may be there again in a later window."""
        demand = Demand(self._market, window, self._rng)
        missing = self._quotas(window)
        chosen: dict[str, Chosen] = {}
        for _ in range(_PATIENCE * sum(missing.values())):
            query = demand.draw(self.shown)
            if query is None or query.id in chosen:
                continue
            name = self._set(query, window)
            if name is None or not missing[name]:
                continue
            missing[name] -= 1
            self._set_of_text[query.text] = name
            if name == "seed":
                self._seed.add(query.id)
            chosen[query.id] = Chosen(query, name, self._impressions(query))
            if not any(missing.values()):
                return list(chosen.values())
        raise ConfigError(
            f"the marketplace's vocabulary is too small for window {window}: {missing} queries are missing.",
            "Ask for fewer queries per window.",
        )

    def _quotas(self, window: int) -> dict[SetName, int]:
        settings = self._settings
        if window == 0:
            return {"seed": settings.seed_queries, "gate": settings.seed_gate, "test": settings.static_test}
        return {
            "stream": settings.queries_per_window,
            "gate": settings.gate_per_window,
            "test": settings.last_test if window == settings.windows else settings.window_test,
        }

    def _set(self, query: Query, window: int) -> SetName | None:
        """The set of a query, by its id alone; None where it is taken into none.

        Window 0 feeds no stream, and a seed query does not come again: its grades are known. A text that
        another language holds in another set (a word both share) is not taken, so no set repeats another.
        """
        bucket = query_bucket(query.id, SET_MODULUS)
        name: SetName
        if bucket in GATE_BUCKETS:
            name = "gate"
        elif bucket in TEST_BUCKETS:
            name = "test"
        elif window == 0:
            if bucket not in SEED_BUCKETS:
                return None
            name = "seed"
        else:
            name = "stream"
        if query.id in self._seed or self._set_of_text.get(query.text, name) != name:
            return None
        return name

    def _impressions(self, query: Query) -> int:
        demand = self._settings.demand
        return 1 + int(self._rng.poisson(demand.head_traffic if query.head else demand.tail_traffic))
