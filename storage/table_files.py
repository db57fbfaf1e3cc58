"""Frames as files that any program reads, by the file's ending."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from serm.storage.csv_file import to_csv

if TYPE_CHECKING:
    import pandas as pd

TABLES: Final[Mapping[str, Callable[[pd.DataFrame, Path], None]]] = {
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False),
    ".csv": to_csv,
    ".jsonl": lambda frame, path: frame.to_json(
        path, orient="records", lines=True, force_ascii=False, date_format="iso"
    ),
}
