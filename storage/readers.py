"""Reads any input into chunks of checked rows. A new format is one reader and one line in `_READERS`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pandas as pd

from serm.core.errors import ConfigError, DataError
from serm.core.hashing import digest, digest_file
from serm.core.settings import Settings
from serm.core.settings_data import Source
from serm.storage.checks import checked
from serm.storage.read_table import read_csv, read_jsonl, read_parquet
from serm.storage.rejects import RejectLog

CHUNK: Final = 20_000  # rows in memory; chosen: 20 MB of texts of a kilobyte

_ENDINGS: Final = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
}
_TABLES: Final = {"parquet": read_parquet, "jsonl": read_jsonl, "csv": read_csv}


def read_source(
    source: Source, settings: Settings, rejects: RejectLog, chunk: int = CHUNK
) -> Iterator[pd.DataFrame]:
    """Chunks of at most `chunk` checked rows (see checks.CHECKED), bad rows to `rejects`.

    Raises DataError, naming file and field, where the file as a whole cannot be used.
    """
    file = settings.resolve(source.pairs)
    kind = source_format(source, file)
    good, before = 0, rejects.count
    for raw in _TABLES[kind](file, source.columns, rejects, chunk):
        frame = checked(raw, source, str(file), rejects)
        good += len(frame)
        if len(frame):
            yield frame
    if not good:
        raise _nothing_in(file, rejects, rejects.count - before)


def source_format(source: Source, file: Path) -> str:
    """The format that the config names, or the one that the file's ending tells."""
    if not file.exists():
        raise DataError("there is no such file.", "Paths are relative to the config's file.", file=file)
    kind = source.format if source.format != "auto" else _ENDINGS.get(file.suffix.lower(), "")
    if not kind:
        raise ConfigError(
            f"{file}: the ending `{file.suffix}` tells no format.",
            "Set `format:` to parquet, jsonl, csv, beir or trec.",
        )
    if file.is_file() and not file.stat().st_size:
        raise DataError("the file is empty.", "Write it again, or take it out of `data.sources`.", file=file)
    return kind


def source_digest(source: Source, settings: Settings) -> str:
    """Hash of the contents of all files of a source."""
    file = settings.resolve(source.pairs)
    source_format(source, file)
    return digest([digest_file(file)])


def _nothing_in(file: Path, rejects: RejectLog, rejected: int) -> DataError:
    if not rejected:
        return DataError("it holds no rows.", "Write it again, or take it out of `data.sources`.", file=file)
    first = next(item for item in rejects.first.values() if item.file == str(file))
    return DataError(
        f"none of its {rejected} rows can be used; the first: {first.reason}.",
        "docs/formats.md says what a row needs.",
        file=file,
        row=first.row,
        field=first.field or None,
    )
