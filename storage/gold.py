"""Human grades alone, of any file of pairs: no texts are needed where only the grades are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from serm.core.columns import KEY
from serm.core.errors import DataError
from serm.core.records import GRADES, Reject
from serm.core.settings import Settings
from serm.core.settings_data import Source
from serm.core.text import is_utf8
from serm.storage.checks import BAD_GRADE, BLANK, NOT_UTF8
from serm.storage.read_strictly import csv_rows, numbered_lines, parquet_rows
from serm.storage.read_text import json_rows
from serm.storage.readers import read_source
from serm.storage.rejects import RejectLog, error_of

_COLUMNS: Final = (*KEY, "grade")


def read_gold(path: Path) -> pd.DataFrame:
    """query_id, doc_id (texts) and grade (a whole number) of every pair that bears a grade.

    Parquet, JSONL, CSV and TREC qrels need these three columns alone; a folder is read as pairs are
    (docs/formats.md). Raises DataError, naming file, row and field, for what is missing or no grade, and
    for the first row of a folder that is no pair: figures over the others would pass for figures over all.
    """
    if not path.exists():
        raise DataError("there is no such file.", "Name a file of pairs with human grades.", file=path)
    rows = _folder(path) if path.is_dir() else _READERS.get(path.suffix.lower(), _qrels)(path)
    found: dict[tuple[str, str], int] = {}
    for number, row in rows:
        key, grade = _checked(row, number, path)
        if grade is None:
            continue
        if found.setdefault(key, grade) != grade:
            raise DataError(
                f"the pair {key[0]}, {key[1]} has two grades, {found[key]} and {grade}.",
                "Keep the one that holds.",
                file=path,
                row=number,
                field="grade",
            )
    if not found:
        raise DataError("no row bears a grade.", "Gold is what people graded: 0 to 3.", file=path)
    return pd.DataFrame(
        [(*key, grade) for key, grade in found.items()], columns=pd.Index(_COLUMNS, dtype=object)
    )


Rows = Iterator[tuple[int, Mapping[str, Any]]]  # row number from 1, and the row


class _Strict(RejectLog):
    """Keeps nothing: the first reject is an error."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull))

    def add(self, reject: Reject) -> None:
        raise error_of(reject, f"{reject.reason}.", "Mend the row, or leave it out.")


def _parquet(file: Path) -> Rows:
    yield from enumerate(parquet_rows(file, _COLUMNS), start=1)


def _jsonl(file: Path) -> Rows:
    with _Strict() as rejects:
        yield from json_rows(file, rejects)


def _csv(file: Path) -> Rows:
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    yield from enumerate(csv_rows(file, delimiter, once=_COLUMNS), start=1)


def _qrels(file: Path) -> Rows:
    for number, line in numbered_lines(file):
        cells = line.split()
        if len(cells) != 4:
            raise DataError(
                f"{len(cells)} fields, and a line of TREC qrels has 4.",
                "Give a file that ends in .parquet, .jsonl, .csv or .tsv, or one of TREC qrels.",
                file=file,
                row=number,
            )
        yield number, {"query_id": cells[0], "doc_id": cells[2], "grade": cells[3]}


def _folder(folder: Path) -> Rows:
    settings = Settings.from_mapping({}, folder=Path.cwd(), environment={})
    with _Strict() as rejects:
        for frame in read_source(Source(pairs=folder), settings, rejects):
            for row in frame[["row", *_COLUMNS]].to_dict("records"):
                yield int(row["row"]), {str(name): None if pd.isna(row[name]) else row[name] for name in row}


_READERS: Final[Mapping[str, Callable[[Path], Rows]]] = {
    ".parquet": _parquet,
    ".pq": _parquet,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".csv": _csv,
    ".tsv": _csv,
}


def _checked(row: Mapping[str, Any], number: int, file: Path) -> tuple[tuple[str, str], int | None]:
    _has_columns(row, file)
    query_id, doc_id = (_id(row[name], name, number, file) for name in KEY)
    said = row.get("grade")
    if said is None or str(said).strip().lower() in {"", "nan"}:
        return (query_id, doc_id), None
    try:
        grade = -1.0 if isinstance(said, bool) else float(said)
    except (TypeError, ValueError, OverflowError):  # the last: a whole number of hundreds of digits
        grade = -1.0
    if grade not in GRADES:
        raise DataError(
            f"`{str(said)[:80]}` is {BAD_GRADE}.",
            "Map other scales first.",
            file=file,
            row=number,
            field="grade",
        )
    return (query_id, doc_id), int(grade)


def _has_columns(row: Mapping[str, Any], file: Path) -> None:
    may_lack = {"grade"} if _READERS.get(file.suffix.lower()) is _jsonl else set()
    for name in _COLUMNS:
        if name not in row and name not in may_lack:
            raise DataError(
                f"the column `{name}` is missing; there are {', '.join(map(str, row)) or 'none'}.",
                "Gold needs query_id, doc_id and grade.",
                file=file,
                field=name,
            )


def _id(value: Any, name: str, number: int, file: Path) -> str:
    text = "" if value is None else str(value).strip()
    fault = BLANK if not text else "" if is_utf8(text) else f"is {NOT_UTF8}"
    if fault:
        raise DataError(
            f"it {fault}.", "A pair names its query and its document.", file=file, row=number, field=name
        )
    return text
