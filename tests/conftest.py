"""What every test may use. Nothing here reaches a network."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """The folder of a real data set beside the checkout; the test is skipped where it is missing."""

    def find(name: str) -> Path:
        folder = Path(os.environ.get("SERM_SHARED_DATA", ROOT.parent / "shared" / "data")) / name
        if not (folder / "pairs.parquet").is_file():
            pytest.skip(f"the data set {name} is not beside the checkout (set SERM_SHARED_DATA)")
        return folder

    return find


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers model of 20,000 random weights, on disk."""
    from small_world import write_tiny_encoder

    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"))
