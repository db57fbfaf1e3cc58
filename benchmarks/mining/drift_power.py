"""How often each drift test sees a new intent of a given size: the power curve, and the false alarms at 0.

python -m serm.benchmarks.mining.drift_power --seed 11

Both samples are drawn from one window of the marketplace; then a share of the second one is replaced by
queries of product types that only later windows bring. Embeddings are the base model's. The outputs test is
left out: it needs graded pairs, not queries.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from serm.benchmarks.marketplace.settings import BENCHMARK_SIZE, PRESETS, MarketplaceSettings
from serm.benchmarks.mining.market_drift import MarketQueries, market_queries
from serm.core.settings_loop import ModelSettings
from serm.core.settings_miner import MinerSettings
from serm.relevance_model.loading import open_base
from serm.tools.drift_regions import drifted_regions
from serm.tools.drift_report import detect
from serm.tools.drift_tests import TESTS
from serm.tools.query_sample import QuerySample

SHARES: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
SIZE: Final = 300  # queries a side

Sees = Callable[[QuerySample, QuerySample, int], bool]


def detectors(level: float) -> Mapping[str, Sees]:
    """Each by itself at `level`, and all of the default together."""
    tests = {
        name: lambda a, b, seed, test=TESTS[name]: test(a, b, seed).p_value <= level
        for name in ("mmd", "ks", "classifier")
    }
    return {
        **tests,
        "regions": lambda a, b, seed: bool(drifted_regions(a, b, level=level, seed=seed)),
        "default": lambda a, b, seed: (
            detect(a, b, level=level, seed=seed, tests=MinerSettings().drift_tests).drifted
        ),
    }


def two_samples(queries: MarketQueries, share: float, rng: np.random.Generator) -> list[QuerySample]:
    """Two samples of window 1, a share of the second one replaced by one intent of a later window."""
    drawn = rng.choice(np.flatnonzero(queries.window(1)), 2 * SIZE, replace=False)
    count = round(share * SIZE)
    later = queries.table[queries.table["since"] > 1].groupby("intent").indices
    positions = np.flatnonzero(queries.table["since"] > 1)
    large = sorted(str(name) for name, rows in later.items() if len(rows) >= max(count, 1))
    intent = positions[later[large[int(rng.integers(len(large)))]]]
    drawn[SIZE : SIZE + count] = rng.choice(intent, count, replace=False)
    return [_sample(queries, side) for side in (drawn[:SIZE], drawn[SIZE:])]


def _sample(queries: MarketQueries, rows: np.ndarray) -> QuerySample:
    part = queries.table.iloc[rows]
    return QuerySample(queries.vectors[rows], part["query"].tolist(), part["language"].tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description="Power of the drift tests on the marketplace.")
    parser.add_argument("--seed", type=int, default=MarketplaceSettings().seed)
    parser.add_argument("--preset", choices=list(PRESETS), default="default")
    parser.add_argument("--draws", type=int, default=100, help="pairs of samples for each share")
    given = parser.parse_args()
    market = MarketplaceSettings.of(given.preset, seed=given.seed, **BENCHMARK_SIZE)
    queries = market_queries(market, open_base(ModelSettings(max_length=96), cache=None))
    level = MinerSettings().drift_level
    rows = []
    for share in SHARES:
        seen: dict[str, list[bool]] = {name: [] for name in detectors(level)}
        for draw in range(given.draws):
            before, now = two_samples(queries, share, np.random.default_rng([given.seed, draw]))
            for name, sees in detectors(level).items():
                seen[name].append(sees(before, now, draw))
        rows.append(
            {"new": f"{share:.0%}"}
            | {name: share_told(sum(found), len(found)) for name, found in seen.items()}
        )
    print(
        f"Share of {given.draws} pairs of samples ({SIZE} queries each) in which drift is seen at level "
        f"{level:g}, with its exact 95% interval; marketplace ({given.preset}), seed {given.seed}"
    )
    print(pd.DataFrame(rows).to_string(index=False))


def share_told(found: int, of: int) -> str:
    """A share with its exact 95% interval, as if each were a draw of its own."""
    interval = binomtest(found, of).proportion_ci(0.95, "exact")
    return f"{found / of:.0%} [{interval.low:.0%}, {interval.high:.0%}]"


if __name__ == "__main__":
    main()
