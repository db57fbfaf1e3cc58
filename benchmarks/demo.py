"""The demo's input: a marketplace of the demo's size and its config, written once."""

from __future__ import annotations

from pathlib import Path

import yaml

from serm.benchmarks.marketplace.config import demo_settings
from serm.benchmarks.marketplace.generate import write
from serm.benchmarks.marketplace.settings import MarketplaceSettings
from serm.storage.artifacts import write_file

DEMO_FOLDER = Path(".serm") / "demo"
CONFIG = "serm.yaml"


def prepare_demo(folder: Path = DEMO_FOLDER) -> Path:
    """The demo's config in `folder`; data and config that are there stay, so that a run can go on.

    Raises StorageError where the folder cannot be written.
    """
    config = folder / CONFIG
    if not (folder / "pairs.parquet").is_file():
        write(folder, MarketplaceSettings())
    if not config.is_file():
        text = yaml.safe_dump(demo_settings(), sort_keys=False)

        def fill(path: Path) -> None:
            path.write_text(text, encoding="utf-8")

        write_file(config, fill)
    return config
