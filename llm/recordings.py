"""Reads judgments files: query_id, doc_id, judge, grade (or label), perhaps p0..p3, failure, rationale."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pandas as pd

from serm.core.columns import DISTRIBUTION
from serm.core.errors import DataError
from serm.core.text import is_utf8
from serm.storage.checks import BLANK, NOT_UTF8, WRONG_TYPE
from serm.storage.read_strictly import csv_rows, jsonl_rows, parquet_table

_KEYS: Final = ("query_id", "doc_id", "judge")
_EXTRAS: Final = (*DISTRIBUTION, "outside", "failure", "rationale", "simulated")
_KNOWN: Final = (*_KEYS, "grade", "label", *_EXTRAS)


def _read_parquet(file: Path) -> pd.DataFrame:
    frame: pd.DataFrame = parquet_table(file, _KNOWN).to_pandas(integer_object_nulls=True)
    return frame.set_axis(range(1, len(frame) + 1))


def _read_csv(file: Path) -> pd.DataFrame:
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    return _frame(enumerate(csv_rows(file, delimiter, once=_KNOWN), start=1))


def _read_jsonl(file: Path) -> pd.DataFrame:
    return _frame(jsonl_rows(file))


def _frame(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> pd.DataFrame:
    """The rows by their numbers. Ids stay what they are: beside one that is missing, pandas would make
    fractions of whole numbers."""
    numbered = dict(rows)
    names = dict.fromkeys(chain.from_iterable(numbered.values()))
    columns = {
        name: pd.Series([row.get(name) for row in numbered.values()], dtype=object if name in _KEYS else None)
        for name in names
    }
    return pd.DataFrame(columns).set_axis(list(numbered))


_READERS: Final[Mapping[str, Callable[[Path], pd.DataFrame]]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
}


def read_recordings(file: Path) -> pd.DataFrame:
    """All judgments in a file, ids as texts, with the column `grade` as it was recorded, whatever it is.
    The index is the row's number, from 1 (of JSONL the line's).

    Raises DataError, naming file, row and field, where the file is missing, empty, not what its ending says,
    or lacks a column, and for an id that is neither a text nor a whole number and a grade that is true or
    false: a row that is read for another would be a failure of its pair without a word.
    """
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise DataError("this is no judgments file.", f"It ends on one of {', '.join(_READERS)}.", file=file)
    if not file.is_file():
        raise DataError("there is no such judgments file.", "Check the path behind `replay:`.", file=file)
    frame = reader(file)
    if not len(frame):
        raise DataError("it holds no judgments.", "Record some first, or name another file.", file=file)
    graded = "grade" if "grade" in frame.columns or "label" not in frame.columns else "label"
    for column in (*_KEYS, graded):
        if column not in frame.columns:
            raise DataError(
                "the column is missing.",
                f"A judgments file has {', '.join(_KEYS)} and grade (or label); this one has "
                f"{', '.join(map(str, frame.columns)) or 'none of them'}.",
                file=file,
                field=column,
            )
    for column in _KEYS:
        frame[column] = _ids(frame[column], file)
    _require_no_truth(frame[graded], file)
    return frame.rename(columns={graded: "grade"})


def _ids(column: pd.Series, file: Path) -> list[str]:
    texts = [value if isinstance(value, str) else _id(value) for value in column.tolist()]
    if not all(map(str.strip, texts)) or not is_utf8("".join(texts)):
        raise _no_id(column, texts, file)
    return texts


def _no_id(column: pd.Series, texts: Sequence[str], file: Path) -> DataError:
    place = next(place for place, text in enumerate(texts) if not text.strip() or not is_utf8(text))
    value = column.tolist()[place]
    if texts[place].strip():
        fault = f"it is {NOT_UTF8}"
    else:
        fault = f"it {BLANK}" if _is_nothing(value) else f"{WRONG_TYPE}: it is `{str(value)[:80]}`"
    return DataError(
        f"{fault}.",
        "An id is a text or a whole number.",
        file=file,
        row=int(column.index[place]),
        field=str(column.name),
    )


def _id(value: object) -> str:
    """A whole number as text; "" for what is no id."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _is_nothing(value: Any) -> bool:
    return isinstance(value, str) or bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _require_no_truth(grades: pd.Series, file: Path) -> None:
    """Raises DataError for a grade that is true or false: Python would take them for 1 and 0."""
    if grades.dtype.kind in "iuf":
        return
    for number, grade in zip(grades.index, grades.tolist(), strict=True):
        if isinstance(grade, bool):
            raise DataError(
                f"{WRONG_TYPE}: it is {str(grade).lower()}.",
                "A grade is a number; `grades` of the judge maps another scale.",
                file=file,
                row=int(number),
                field=str(grades.name),
            )
