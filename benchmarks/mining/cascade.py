"""How much of full scoring's selection the cascade makes, and at what share of its time.

python -m serm.benchmarks.mining.cascade --seed 11

One window of the simulated marketplace, MiniLM with a head calibrated on the seed. Scores come from the
ordinal head over embeddings that are there already. Full scoring then puts every pair through the
stochastic passes, with dropout in all layers; the cascade only the most uncertain ones (`miner.pool`), with
dropout in all layers or in some upper ones (`miner.dropout_layers`). All else, agents and selection, is the
same. `another draw` is full scoring with other dropout masks: how much of a selection is the signal, and
how much the draw. Times are of the processor.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import process_time

import numpy as np
import pandas as pd

from serm.agents.miners import mine_with
from serm.benchmarks.marketplace.generate import simulate, windows_of
from serm.benchmarks.marketplace.settings import BENCHMARK_SIZE, PRESETS, MarketplaceSettings
from serm.core.settings_loop import ModelSettings
from serm.core.settings_miner import DEFAULT_AGENTS, AgentName, MinerSettings
from serm.graphs.desks import mining_desk
from serm.relevance_model.base import FloatArray, RelevanceModel
from serm.relevance_model.loading import open_base
from serm.relevance_model.pairs import CodedPairs
from serm.relevance_model.scoring import score_frame
from serm.relevance_model.train import calibrate
from serm.storage.dataset import CODED
from serm.tools.desk import Ints
from serm.tools.query_sample import QuerySample
from serm.tools.quotas import nomination_quotas
from serm.tools.selection import select

AGENTS: Sequence[AgentName] = ("feedback", "click_model", "uncertainty", "disagreement", "drift", "bald")
"""Those of the table in docs/mining.md, whatever is on by default."""
DEEP = ("disagreement", "bald")
"""Agents whose signal costs stochastic passes."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is mined: a window, the queries before it, and the model with its scores at hand."""

    pairs: pd.DataFrame
    model: RelevanceModel
    reference: QuerySample
    seed: int


@dataclass(frozen=True, slots=True)
class Mined:
    """A selection, and what each agent nominated."""

    sample: frozenset[tuple[str, str]]
    of: dict[str, frozenset[tuple[str, str]]]


def market_window(
    preset: str,
    seed: int,
    number: int,
    model: ModelSettings,
    queries: int = BENCHMARK_SIZE["queries_per_window"],
) -> Window:
    """Window `number` of a marketplace of the benchmark's size, but for its queries a window."""
    size = {**BENCHMARK_SIZE, "queries_per_window": queries}
    market = simulate(MarketplaceSettings.of(preset, seed=seed, **size))
    sets, windows = market.pairs["split"].to_numpy(), windows_of(market.pairs, market.settings)
    seeds = market.pairs[sets == "seed"]
    trained = calibrate(open_base(model, None), seeds)
    before = market.pairs[np.isin(sets, ("seed", "stream")) & (windows < number)].drop_duplicates("query_id")
    pairs = market.pairs[(sets == "stream") & (windows == number)].reset_index(drop=True)
    names = before["query"].tolist()
    reference = QuerySample(trained.embed_queries(names), names, before["language"].tolist())
    coded = {name: "category" for name in CODED if name in pairs}
    return Window(pairs.drop(columns="grade").astype(coded), trained, reference, seed)


@dataclass(frozen=True, slots=True)
class Way:
    """How the dear signals are come by."""

    pool: int
    layers: int | None = None
    masks: int = 0  # added to the seed of the dropout masks


class Passes:
    """Stochastic passes of a window in several ways, each computed once, and what it cost."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._pairs = CodedPairs.of_frame(window.pairs)
        self._made: dict[Way, tuple[Ints, FloatArray]] = {}
        self.seconds: dict[Way, float] = {}

    def of(self, way: Way) -> Callable[[Ints], FloatArray]:
        def asked(rows: Ints) -> FloatArray:
            if way not in self._made:
                began = process_time()
                self._made[way] = rows, self._run(rows, way)
                self.seconds[way] = process_time() - began
            known, values = self._made[way]
            if not np.array_equal(known, rows):
                raise ValueError("another pool was asked for than before")
            return values

        return asked

    def _run(self, rows: Ints, way: Way) -> FloatArray:
        return self._window.model.stochastic(
            self._pairs.take(rows),
            passes=MinerSettings().passes,
            seed=self._window.seed + way.masks,
            layers=way.layers,
        )


def mine(window: Window, agents: Sequence[AgentName], way: Way, passes: Passes, budget: int) -> Mined:
    """Scores at hand, every agent in turn, selection."""
    settings = MinerSettings(agents=dict.fromkeys(agents, 1.0), pool=way.pool, dropout_layers=way.layers)
    scores = score_frame(window.model, window.pairs)
    desk = mining_desk(
        window.pairs, window.model, scores, window.reference, settings=settings, seed=window.seed
    )
    desk = replace(desk, stochastic=passes.of(way))
    quotas = nomination_quotas(budget, {str(name): share for name, share in settings.agents.items()})
    tables = {name: mine_with(name, desk, None, quotas[name]) for name in settings.agents}
    sample = select(pd.concat(tables.values(), ignore_index=True), desk, budget)
    return Mined(_keys(sample), {name: _keys(table) for name, table in tables.items()})


def _keys(table: pd.DataFrame) -> frozenset[tuple[str, str]]:
    return frozenset(zip(table["query_id"], table["doc_id"], strict=True))


def _shared(found: frozenset[tuple[str, str]], of: frozenset[tuple[str, str]]) -> float:
    return len(found & of) / max(len(of), 1)


def compare(
    window: Window, budget: int, ways: Mapping[str, Way], agents: Sequence[AgentName], passes: Passes
) -> pd.DataFrame:
    """A row a way: what it shares with the first one, and the time of its passes."""
    rows = []
    full: Mined | None = None
    for name, way in ways.items():
        found = mine(window, agents, way, passes, budget)
        full = full or found
        deep = [agent for agent in DEEP if agent in agents]
        rows.append(
            {
                "way": name,
                "selection shared": f"{_shared(found.sample, full.sample):.1%}",
                **{f"{agent} shared": f"{_shared(found.of[agent], full.of[agent]):.1%}" for agent in deep},
                "passes, seconds": round(passes.seconds[way], 1),
                "of full": f"{passes.seconds[way] / passes.seconds[next(iter(ways.values()))]:.1%}",
            }
        )
    return pd.DataFrame(rows)


def ways_of(pairs: int, pools: Sequence[float], layers: Sequence[int | None]) -> dict[str, Way]:
    """Full scoring, the same with other masks, and the cascade's ways; `pools` are shares of the window."""
    ways = {"full scoring": Way(pairs), "another draw": Way(pairs, masks=1)}
    for share in pools:
        size = round(share * pairs)
        for count in layers:
            where = "all layers" if count is None else f"the upper {count}"
            ways[f"pool {size:,} ({share:.0%}), dropout in {where}"] = Way(size, count)
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(description="The cascade against full scoring (docs/mining.md).")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--preset", choices=list(PRESETS), default="default")
    parser.add_argument("--window", type=int, default=3)
    parser.add_argument("--queries", type=int, default=BENCHMARK_SIZE["queries_per_window"])
    parser.add_argument("--share", type=float, default=0.05, help="budget as a share of the window")
    parser.add_argument(
        "--pools", type=float, nargs="+", default=[0.04, 0.1, 0.2], help="shares of the window"
    )
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 3, 2, 1], help="0: all")
    given = parser.parse_args()
    window = market_window(
        given.preset, given.seed, given.window, ModelSettings(max_length=96), given.queries
    )
    budget = round(given.share * len(window.pairs))
    print(
        f"Window {given.window} of the simulated marketplace ({given.preset}, seed {given.seed}): "
        f"{len(window.pairs):,} pairs, {window.pairs['query'].nunique():,} queries, "
        f"{window.pairs['text'].nunique():,} documents, budget {budget}, {MinerSettings().passes} passes"
    )
    ways = ways_of(len(window.pairs), given.pools, [count or None for count in given.layers])
    passes = Passes(window)
    for agents in (AGENTS, DEFAULT_AGENTS):
        print(f"\nAgents: {', '.join(agents)}")
        print(compare(window, budget, ways, agents, passes).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
