"""The config of the loop on a marketplace: sets by split, windows and tests by time, simulated judges."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from serm.benchmarks.marketplace.generate import window_start
from serm.benchmarks.marketplace.settings import MarketplaceSettings

JUDGES = 3
JUDGE = "simulated:accuracy=0.85,shared=0.5,seed=7"
"""Half of a judge's error mass is common to the panel: it is wrong in company, as LLM judges are. Chosen."""

PAIRS_PER_ROUND = 500


def demo_settings(folder: str = ".") -> dict[str, Any]:
    """The demo's config as a mapping, for `pairs.parquet` and a workspace in `folder` (see `Settings`)."""
    return marketplace_config(MarketplaceSettings(), folder)


def marketplace_config(market: MarketplaceSettings, folder: str = ".") -> dict[str, Any]:
    """The config of one simulation. Paths are relative to where the config will lie."""
    here = PurePosixPath(folder)
    first, last = _day(window_start(market, 1)), _day(window_start(market, market.windows))
    windows = {f"window-{number}": _span(market, number) for number in range(1, market.windows + 1)}
    tested = list(windows.items())[:-1] if market.window_test else []
    return {
        "workspace": str(here / "workspace"),
        "random_seed": 7,
        "data": {
            "sources": [{"pairs": str(here / "pairs.parquet"), "name": "marketplace"}],
            "sets": [{"set": name, "when": {"split": [name]}} for name in ("seed", "gate", "stream", "test")],
            "windows": {
                "by": "rules",
                "rules": [{"name": name, "when": span} for name, span in windows.items()],
            },
            "seed_gate": {"before": first},
            "tests": [
                {"name": "static", "role": "static", "when": {"before": first}},
                *({"name": name, "when": span} for name, span in tested),
                {"name": "last", "role": "last", "when": {"after": last}},
            ],
        },
        "judges": [{"name": f"judge-{number}", "backend": JUDGE} for number in range(1, JUDGES + 1)],
        "model": {"kind": "biencoder", "base": "minilm", "max_length": 96},
        "budget": {"pairs_per_round": PAIRS_PER_ROUND},
        "training": {"seed_epochs": 1, "epochs": 2, "learning_rate": 6e-5},
    }


def _span(market: MarketplaceSettings, window: int) -> dict[str, str]:
    return {"after": _day(window_start(market, window)), "before": _day(window_start(market, window + 1))}


def _day(moment: datetime) -> str:
    return moment.date().isoformat()
