"""A marketplace on disk, generated once and kept: what is there must be what was asked for."""

from __future__ import annotations

import json
from pathlib import Path

from serm.benchmarks.marketplace.generate import MARKET, write
from serm.benchmarks.marketplace.settings import MarketplaceSettings
from serm.core.errors import WorkspaceMismatchError
from serm.storage.binding import difference, flat


def write_once(folder: Path, settings: MarketplaceSettings) -> None:
    """Write the marketplace into `folder` where it is missing.

    Raises WorkspaceMismatchError where the one that is there was made from other settings. One of an earlier
    version, which does not say from what it was made, is taken as it is.
    """
    if not (folder / "pairs.parquet").is_file():
        write(folder, settings)
    if not (folder / MARKET).is_file():
        return
    there = flat(json.loads((folder / MARKET).read_text(encoding="utf-8")))
    here = flat(settings.to_json())
    if there != here:
        raise WorkspaceMismatchError(
            f"{folder} holds another marketplace ({difference(there, here, 'the folder', 'the protocol')}).",
            "Set these keys back, name another `--out`, or remove that folder and the runs made on it.",
        )
