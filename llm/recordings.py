"""Reads judgments files: query_id, doc_id, judge, grade (or label), perhaps p0..p3, failure, rationale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from serm.core.columns import DISTRIBUTION
from serm.core.errors import DataError

_KEYS: Final = ("query_id", "doc_id", "judge")
_EXTRAS: Final = (*DISTRIBUTION, "outside", "failure", "rationale", "simulated")


def _read_parquet(file: Path) -> pd.DataFrame:
    known = set(pq.read_schema(file).names) & {*_KEYS, "grade", "label", *_EXTRAS}
    frame: pd.DataFrame = pq.read_table(file, columns=sorted(known)).to_pandas()
    return frame


def _read_csv(file: Path) -> pd.DataFrame:
    separator = "\t" if file.suffix == ".tsv" else ","
    return pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False, na_values={"grade": [""]})


def _read_jsonl(file: Path) -> pd.DataFrame:
    return pd.read_json(file, lines=True, dtype={"query_id": str, "doc_id": str, "judge": str})


_READERS: Final[Mapping[str, Callable[[Path], pd.DataFrame]]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
}


def read_recordings(file: Path) -> pd.DataFrame:
    """All judgments in a file, with the column `grade` as it was recorded, whatever it is.

    Raises DataError where the file is missing, empty, not what its ending says, or lacks a column.
    """
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise DataError("this is no judgments file.", f"It ends on one of {', '.join(_READERS)}.", file=file)
    try:
        frame = reader(file)
    except FileNotFoundError:
        raise DataError(
            "there is no such judgments file.", "Check the path behind `replay:`.", file=file
        ) from None
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DataError(
            f"it cannot be read: {error}", "It may be cut off: write it again.", file=file
        ) from error
    if "grade" not in frame.columns and "label" in frame.columns:
        frame = frame.rename(columns={"label": "grade"})
    for column in (*_KEYS, "grade"):
        if column not in frame.columns:
            raise DataError(
                "the column is missing.",
                f"A judgments file has {', '.join(_KEYS)} and grade (or label); this one has "
                f"{', '.join(map(str, frame.columns))}.",
                file=file,
                field=column,
            )
    if frame.empty:
        raise DataError("it holds no judgments.", "Record some first, or name another file.", file=file)
    for column in _KEYS:
        frame[column] = frame[column].astype(str)
    return frame
