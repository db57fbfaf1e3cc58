"""Reads any input into chunks of checked rows. A new format is one reader and one line in `_READERS`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pandas as pd

from serm.core.errors import ConfigError, DataError
from serm.core.hashing import digest, digest_file
from serm.core.settings import Settings
from serm.core.settings_data import Source
from serm.storage.checks import checked
from serm.storage.read_beir import beir_files, is_beir, read_beir
from serm.storage.read_parts import matching_files, part_files
from serm.storage.read_table import Columns, read_parquet
from serm.storage.read_text import read_csv, read_jsonl
from serm.storage.read_trec import read_trec, trec_side_files
from serm.storage.rejects import RejectLog, error_of

CHUNK: Final = 20_000  # rows in memory; chosen: 20 MB of texts of a kilobyte

TABLE_FILES: Final = ("pairs.parquet", "pairs.jsonl", "pairs.csv", "pairs.tsv")
"""What a folder may hold that is no BEIR folder; the first that is there is read. Where none is, all tables
in it are parts of one log."""

_ENDINGS: Final = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".qrels": "trec",
    ".run": "trec",
}

_PART_ENDINGS: Final = frozenset(ending for ending, kind in _ENDINGS.items() if kind != "trec")

Raw = Iterator[tuple[Path, pd.DataFrame]]  # the file that rows are counted in, and a raw chunk


def read_source(
    source: Source, settings: Settings, rejects: RejectLog, chunk: int = CHUNK
) -> Iterator[pd.DataFrame]:
    """Chunks of at most `chunk` checked rows (see checks.CHECKED), bad rows to `rejects`.

    Raises DataError, naming file and field, where a file as a whole cannot be used.
    """
    parts, good = _located(source, settings), 0
    for file, kind in parts:
        found, before = 0, rejects.count
        for origin, raw in _READERS[kind](file, source, settings, rejects, chunk):
            frame = checked(raw, source, str(origin), rejects)
            found += len(frame)
            if len(frame):
                yield frame
        if not found and (len(parts) == 1 or rejects.count > before):  # a day may be without a request
            raise _nothing_in(file, rejects, rejects.count - before)
        good += found
    if not good:
        raise _nothing_in(settings.resolve(source.pairs), rejects, 0)


def source_files(source: Source, settings: Settings) -> list[Path]:
    """All files that a source is read from. Raises DataError where one is missing or empty."""
    parts = _located(source, settings)
    files = [item for file, kind in parts for item in (beir_files(file) if kind == "beir" else [file])]
    if any(kind == "trec" for _, kind in parts):
        files += trec_side_files(source, settings.resolve)
    for item in files:
        if not item.is_file():
            raise DataError("there is no such file.", "Paths are relative to the config's file.", file=item)
        if not item.stat().st_size:
            raise DataError("the file is empty.", "Write it again, or take it out of the data.", file=item)
    return files


def source_digest(source: Source, settings: Settings, of: Callable[[Path], str] = digest_file) -> str:
    """Hash of the contents of all files of a source, wherever they lie; `of` has the digest of one file."""
    files, parts = source_files(source, settings), _located(source, settings)
    # Of a BEIR folder they are the splits; what parts are called says no more than their order.
    names = [file.stem for file in files] if len(files) > 1 and len(parts) == 1 else []
    return digest([names, [of(file) for file in files]])


def _located(source: Source, settings: Settings) -> list[tuple[Path, str]]:
    """The files or the BEIR folder of a source, each with its format: the config's, or that of its ending.

    A file under two names (a link `latest.jsonl`) is read once; of several those without a byte are left out,
    as days without a request leave them."""
    files = list({file.resolve(): file for file in reversed(_files(source, settings))}.values())[::-1]
    some = [file for file in files if file.is_dir() or file.stat().st_size] if len(files) > 1 else files
    return [(file, _format(file, source)) for file in some or files[:1]]


def _files(source: Source, settings: Settings) -> list[Path]:
    file = settings.resolve(source.pairs)
    if source.is_pattern and not file.exists():
        return matching_files(source.pairs, settings.folder)
    if not file.exists():
        raise DataError("there is no such file.", "Paths are relative to the config's file.", file=file)
    if not file.is_dir() or source.format == "beir" or is_beir(file):
        return [file]
    found = _tables_in(file)[:1] or part_files(file, _PART_ENDINGS)
    if not found:
        raise DataError(
            "this folder holds no pairs.",
            f"Put one of {', '.join(TABLE_FILES)} there, parts that end so, or the files of a BEIR folder.",
            file=file,
        )
    return found


def _format(file: Path, source: Source) -> str:
    if file.is_dir():
        return "beir"
    if not os.access(file, os.R_OK):
        raise DataError("it may not be read.", "Give yourself the right to read it.", file=file)
    kind = source.format if source.format != "auto" else _ENDINGS.get(file.suffix.lower(), "")
    if not kind:
        raise ConfigError(
            f"{file}: the ending `{file.suffix}` tells no format.",
            "Set `format:` to parquet, jsonl, csv, beir or trec.",
        )
    if not file.stat().st_size:
        raise DataError("the file is empty.", "Write it again, or take it out of the data.", file=file)
    return kind


def holds_pairs(folder: Path) -> bool:
    """Whether there is anything in it that a source may be read from."""
    return is_beir(folder) or bool(_tables_in(folder))


def _tables_in(folder: Path) -> list[Path]:
    return [folder / name for name in TABLE_FILES if (folder / name).is_file()]


def _table(
    read: Callable[[Path, Columns, RejectLog, int], Iterator[pd.DataFrame]],
) -> Callable[[Path, Source, Settings, RejectLog, int], Raw]:
    def raw(file: Path, source: Source, settings: Settings, rejects: RejectLog, chunk: int) -> Raw:
        del settings
        return ((file, frame) for frame in read(file, source.columns, rejects, chunk))

    return raw


def _beir(file: Path, source: Source, settings: Settings, rejects: RejectLog, chunk: int) -> Raw:
    del settings
    _no_renames(source)
    return read_beir(file, rejects, chunk)


def _trec(file: Path, source: Source, settings: Settings, rejects: RejectLog, chunk: int) -> Raw:
    _no_renames(source)
    queries, corpus = trec_side_files(source, settings.resolve)
    return ((file, frame) for frame in read_trec(file, queries, corpus, rejects, chunk))


_READERS: Final[dict[str, Callable[[Path, Source, Settings, RejectLog, int], Raw]]] = {
    "parquet": _table(read_parquet),
    "jsonl": _table(read_jsonl),
    "csv": _table(read_csv),
    "beir": _beir,
    "trec": _trec,
}


def _no_renames(source: Source) -> None:
    if source.columns:
        raise ConfigError(f"data.sources: {source.label} has no columns to rename.", "Remove `columns:`.")


def _nothing_in(file: Path, rejects: RejectLog, rejected: int) -> DataError:
    if not rejected:
        return DataError("it holds no rows.", "Write it again, or take it out of the data.", file=file)
    first = rejects.latest
    assert first is not None  # there was at least one
    said = f"none of its rows can be used ({rejected} rejected); the last: {first.reason}."
    return error_of(first, said, "docs/formats.md says what a row needs.")
