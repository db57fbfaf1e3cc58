"""A config over the small data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from small_data import SETS, MakeConfig, judgments, pairs


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """Writes pairs.parquet, judgments.parquet and serm.yaml; keywords replace frames or add settings."""

    def make(frame: pd.DataFrame | None = None, said: pd.DataFrame | None = None, **settings: Any) -> Path:
        (pairs() if frame is None else frame).to_parquet(tmp_path / "pairs.parquet", index=False)
        (judgments() if said is None else said).to_parquet(tmp_path / "judgments.parquet", index=False)
        values = {
            "workspace": "work",
            "data": {
                "sources": [{"pairs": "pairs.parquet"}],
                **SETS,
                "windows": {"by": "time", "period": "90D"},
            },
            "judges": ["replay:judgments.parquet#ann", "replay:judgments.parquet#ben"],
            "budget": {"pairs_per_round": 40},
            **settings,
        }
        config = tmp_path / "serm.yaml"
        config.write_text(yaml.safe_dump(values), encoding="utf-8")
        return config

    return make
