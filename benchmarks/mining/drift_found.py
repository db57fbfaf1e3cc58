"""Are new intents found in the window in which they appear, and how often is an alarm false?

python -m serm.benchmarks.mining.drift_found --seeds 11 12 13

On the marketplace at the benchmark's size, both presets, by the base model's embeddings and the settings'
defaults, thinned to as many requests a side as the drift agent thins them. An intent is a product type that
the window brings, or an old type's invented name. It is found if at least half of its queries lie in regions
reported as new or growing, most of whose queries are of intents that the window brought. Intents count from
1% of a window: of its distinct queries, and once more of its traffic, where every query weighs as often as
it is asked. A reported region is false where fewer than half of its queries are of intents that grew, by the
simulation's schedule. Undrifted windows are random halves of one window's queries.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from serm.benchmarks.marketplace.settings import BENCHMARK_SIZE, PRESETS, MarketplaceSettings
from serm.benchmarks.mining.drift_power import share_told
from serm.benchmarks.mining.market_drift import MarketQueries, Mask, market_queries
from serm.core.settings_loop import ModelSettings
from serm.core.settings_miner import MinerSettings
from serm.relevance_model.loading import open_base
from serm.tools.drift_report import Drift, detect

LARGE = 0.01
"""Share of a window from which an intent counts."""
BY = ("queries", "traffic")
"""What that share is of: distinct queries, or requests."""


@dataclass(frozen=True, slots=True)
class Intent:
    """One that a window brings. By each of `BY`: its share of the window, and how much of it is told of."""

    name: str
    queries: int
    share: dict[str, float]
    told: dict[str, float]


@dataclass(frozen=True, slots=True)
class Found:
    """What the detector made of one window."""

    window: int
    intents: tuple[Intent, ...]
    regions: int  # reported as new or growing
    false: int  # of those

    def large(self, by: str) -> list[Intent]:
        return [intent for intent in self.intents if intent.share[by] >= LARGE]

    def missed(self, by: str) -> list[Intent]:
        return [intent for intent in self.large(by) if intent.told[by] < 0.5]


def windows_found(queries: MarketQueries, *, last: bool, seed: int) -> Iterator[Found]:
    for number in range(1, queries.market.windows + 1):
        here = queries.window(number)
        drift = _detect(queries, queries.before(number, last=last), here, seed)
        table, grew = queries.table[here], queries.grew(number, last=last)[here]
        fresh = (table["since"] == number).to_numpy()
        told = np.zeros(len(table), dtype=bool)
        regions = [region for region in drift.regions if region.kind != "dying"]
        for region in regions:
            if fresh[region.members].mean() >= 0.5:
                told[region.members] = True
        false = sum(bool(grew[region.members].mean() < 0.5) for region in regions)
        yield Found(number, tuple(_intents(table, fresh, told)), len(regions), false)


def _intents(table: pd.DataFrame, fresh: Mask, told: Mask) -> Iterator[Intent]:
    weights = {"queries": np.ones(len(table)), "traffic": table["asked"].to_numpy(dtype=np.float64)}
    for name in table.loc[fresh, "intent"].unique():
        own = (table["intent"] == name).to_numpy() & fresh
        share = {by: float(weight[own].sum() / weight.sum()) for by, weight in weights.items()}
        seen = {by: float(np.average(told[own], weights=weight[own])) for by, weight in weights.items()}
        yield Intent(str(name), int(own.sum()), share, seen)


def undrifted_alarms(queries: MarketQueries, times: int, seed: int) -> tuple[int, int]:
    """Alarms on `times` random halvings of each window's queries, and how many there were of those."""
    alarms = 0
    for number in range(1, queries.market.windows + 1):
        rows = np.flatnonzero(queries.window(number))
        for draw in range(times):
            rng = np.random.default_rng([seed, number, draw])
            first = np.zeros(len(queries.table), dtype=bool)
            first[rng.choice(rows, len(rows) // 2, replace=False)] = True
            second = queries.window(number) & ~first
            alarms += _detect(queries, [first], second, draw).drifted
    return alarms, times * queries.market.windows


def _detect(queries: MarketQueries, earlier: Sequence[Mask], now: Mask, seed: int) -> Drift:
    chosen = MinerSettings()
    return detect(
        *queries.compared(earlier, now, seed=seed),
        level=chosen.drift_level,
        seed=seed,
        tests=chosen.drift_tests,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description="How well the drift agent finds what is new (docs/drift.md)."
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[MarketplaceSettings().seed])
    parser.add_argument("--halvings", type=int, default=20, help="undrifted pairs of samples a window")
    given = parser.parse_args()
    model = open_base(ModelSettings(max_length=96), cache=None)
    rows, alarms = [], []
    for preset in PRESETS:
        found: dict[str, list[Found]] = {"all": [], "last": []}
        for seed in given.seeds:
            queries = market_queries(MarketplaceSettings.of(preset, seed=seed, **BENCHMARK_SIZE), model)
            for reference, windows in found.items():
                windows.extend(windows_found(queries, last=reference == "last", seed=seed))
            raised, undrifted = undrifted_alarms(queries, given.halvings, seed)
            alarms.append((preset, seed, raised, undrifted))
        rows += [_row(preset, name, by, windows) for name, windows in found.items() for by in BY]
    print(f"New intents above {LARGE:.0%} of a window, marketplace, seeds {' '.join(map(str, given.seeds))}")
    print(pd.DataFrame(rows).to_string(index=False))
    print("Alarms on undrifted halves:")
    print(pd.DataFrame(alarms, columns=["preset", "seed", "alarms", "of"]).to_string(index=False))


def _row(preset: str, reference: str, by: str, windows: Sequence[Found]) -> dict[str, object]:
    intents = [intent for window in windows for intent in window.large(by)]
    missed = [intent for window in windows for intent in window.missed(by)]
    return {
        "preset": preset,
        "reference": reference,
        "1% of": by,
        "new intents": len(intents),
        "found": len(intents) - len(missed),
        "share": share_told(len(intents) - len(missed), len(intents)) if intents else "-",
        "largest missed": max((intent.queries for intent in missed), default=0),
        "regions": sum(window.regions for window in windows),
        "false": sum(window.false for window in windows),
    }


if __name__ == "__main__":
    main()
