"""Are new intents found in the window in which they appear, and how often is an alarm false?

python -m serm.benchmarks.mining.drift_found --seed 11

On the marketplace at the benchmark's size, both presets, by the base model's embeddings and the settings'
defaults, thinned to as many requests a side as the drift agent thins them. An intent is a product type that
the window brings, or an old type's invented name. It is found if at least half of its queries lie in regions
reported as new or growing, most of whose queries are of intents that the window brought. A reported region
is false where fewer than half of its queries are of intents that grew, by the simulation's schedule.
Undrifted windows are random halves of one window's queries.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from serm.benchmarks.marketplace.settings import BENCHMARK_SIZE, PRESETS, MarketplaceSettings
from serm.benchmarks.mining.market_drift import MarketQueries, Mask, market_queries
from serm.core.settings_loop import MinerSettings, ModelSettings
from serm.relevance_model.loading import open_base
from serm.tools.drift_report import Drift, detect

LARGE = 0.01
"""Share of a window's queries from which an intent counts."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the detector made of one window."""

    window: int
    intents: dict[str, tuple[int, float]]  # above `LARGE`: queries, share of them told of
    regions: int  # reported as new or growing
    false: int  # of those

    @property
    def found(self) -> int:
        return sum(share >= 0.5 for _, share in self.intents.values())


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
        intents = {
            str(name): (int(own.sum()), float(told[own].mean()))
            for name in table.loc[fresh, "intent"].unique()
            if (own := (table["intent"] == name).to_numpy() & fresh).mean() >= LARGE
        }
        false = sum(bool(grew[region.members].mean() < 0.5) for region in regions)
        yield Found(number, intents, len(regions), false)


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
    parser.add_argument("--seed", type=int, default=MarketplaceSettings().seed)
    parser.add_argument("--halvings", type=int, default=20, help="undrifted pairs of samples a window")
    given = parser.parse_args()
    model = open_base(ModelSettings(max_length=96), cache=None)
    rows, missed = [], []
    for preset in PRESETS:
        queries = market_queries(MarketplaceSettings.of(preset, seed=given.seed, **BENCHMARK_SIZE), model)
        alarms, windows = undrifted_alarms(queries, given.halvings, given.seed)
        for last in (False, True):
            found = list(windows_found(queries, last=last, seed=given.seed))
            rows.append(
                {
                    "preset": preset,
                    "reference": "last" if last else "all",
                    "new intents": sum(len(item.intents) for item in found),
                    "found": sum(item.found for item in found),
                    "regions": sum(item.regions for item in found),
                    "false": sum(item.false for item in found),
                    "undrifted": windows,
                    "alarms": alarms,
                }
            )
            missed += [
                f"{preset}, {rows[-1]['reference']}, window {item.window}: {name} ({count} queries)"
                for item in found
                for name, (count, share) in item.intents.items()
                if share < 0.5
            ]
    print(f"New intents above {LARGE:.0%} of a window's queries, marketplace, seed {given.seed}")
    print(pd.DataFrame(rows).to_string(index=False))
    print("Not found:", "; ".join(missed) or "none")


if __name__ == "__main__":
    main()
