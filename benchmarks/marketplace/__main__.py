"""`python -m serm.benchmarks.marketplace FOLDER`: write a marketplace, and say how long it took."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd
import yaml

from serm.benchmarks.marketplace.config import marketplace_config
from serm.benchmarks.marketplace.generate import write
from serm.benchmarks.marketplace.settings import BENCHMARK_SIZE, PRESETS, MarketplaceSettings

SIZES = {"demo": {}, "benchmark": dict(BENCHMARK_SIZE)}


def arguments() -> argparse.ArgumentParser:
    """What both commands of this package take."""
    parser = argparse.ArgumentParser(description="The simulated marketplace (docs/marketplace.md).")
    parser.add_argument("--preset", choices=list(PRESETS), default="default")
    parser.add_argument("--size", choices=list(SIZES), default="demo")
    parser.add_argument("--seed", type=int, default=MarketplaceSettings().seed)
    return parser


def market_of(given: argparse.Namespace) -> MarketplaceSettings:
    return MarketplaceSettings.of(given.preset, seed=given.seed, **SIZES[given.size])


def main() -> None:
    parser = arguments()
    parser.add_argument("folder", type=Path, help="where pairs.parquet, queries.parquet and serm.yaml go")
    given = parser.parse_args()
    market = market_of(given)
    began = time.perf_counter()
    pairs = write(given.folder, market)
    spent = time.perf_counter() - began
    config = given.folder / "serm.yaml"
    config.write_text(yaml.safe_dump(marketplace_config(market), sort_keys=False), encoding="utf-8")
    count = len(pd.read_parquet(pairs, columns=["grade"]))
    print(f"{pairs}: {count:,} pairs in {spent:.1f} s ({100_000 * spent / count:.1f} s for 100,000)")
    print(f"Run the loop on it: serm evolve {config}")


if __name__ == "__main__":
    main()
