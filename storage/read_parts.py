"""A log in many files: those of a folder, or those that a pattern names, in the order of their names."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection
from pathlib import Path

from serm.core.errors import DataError
from serm.storage.read_beir import CORPUS, QRELS, QUERIES


def part_files(folder: Path, endings: Collection[str]) -> list[Path]:
    """The files in a folder that end so (`.parquet`), but for hidden ones and those of an underscore, which
    other programs leave there; none where it holds part of a BEIR data set, whose files are no parts."""
    if not os.access(folder, os.R_OK):
        raise DataError("it may not be read.", "Give yourself the right to read it.", file=folder)
    if any((folder / name).exists() for name in (CORPUS, QUERIES, QRELS)):
        return []
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in endings and not file.name.startswith((".", "_")) and file.is_file()
    )


def matching_files(pattern: Path, folder: Path) -> list[Path]:
    """The files that a pattern names, a relative one from `folder` on; hidden ones by their dot alone.

    Only `*`, `**` and `?` stand for others. Raises DataError where there is no such file.
    """
    # `Path.glob` takes no absolute pattern.
    names = glob.glob(str(pattern).replace("[", "[[]"), root_dir=folder, recursive=True)  # noqa: PTH207
    files = [folder / name for name in sorted(names) if (folder / name).is_file()]
    if not files:
        raise DataError(
            "no file is called so.", "Paths are relative to the config's file.", file=folder / pattern
        )
    return [file.resolve() for file in files]
