"""Raw chunks of JSONL and CSV files, with our column names and a `row` that counts from 1."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from serm.core.columns import PAIR
from serm.core.errors import DataError
from serm.core.records import Reject
from serm.storage.checks import NOT_UTF8
from serm.storage.csv_records import Lines, records
from serm.storage.read_strictly import allow_long_fields
from serm.storage.read_table import Columns, our_columns
from serm.storage.rejects import RejectLog


def read_jsonl(file: Path, columns: Columns, rejects: RejectLog, chunk: int) -> Iterator[pd.DataFrame]:
    """One JSON object a line; `row` is the line's number. Some rows may lack a column, not all."""
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    ours: dict[str, str] = {}
    for number, row in json_rows(file, rejects):
        rows.append(row)
        numbers.append(number)
        if len(rows) == chunk:
            ours = ours or our_columns(_names(rows), columns, file)
            yield _frame(rows, numbers, ours, columns)
            rows, numbers = [], []
    if rows:
        ours = ours or our_columns(_names(rows), columns, file)
        yield _frame(rows, numbers, ours, columns)


def json_rows(file: Path, rejects: RejectLog) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every line that holds one; the others are rejected, empty ones passed over."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.removeprefix(b"\xef\xbb\xbf").decode("utf-8"))
            except UnicodeDecodeError:
                rejects.add(Reject(str(file), number, "", NOT_UTF8))
            except (ValueError, RecursionError):
                rejects.add(Reject(str(file), number, "", "no JSON"))
            else:
                if isinstance(row, dict):
                    yield number, row
                else:
                    rejects.add(Reject(str(file), number, "", "no JSON object"))


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _frame(
    rows: Sequence[Mapping[str, Any]], numbers: Sequence[int], ours: Mapping[str, str], columns: Columns
) -> pd.DataFrame:
    """All our columns, also those that only later chunks have."""
    names = {name: ours.get(name, columns.get(name, name)) for name in PAIR}
    frame = pd.DataFrame(
        {name: pd.Series([row.get(theirs) for row in rows], dtype=object) for name, theirs in names.items()}
    )
    frame["row"] = numbers
    return frame


def read_csv(file: Path, columns: Columns, rejects: RejectLog, chunk: int) -> Iterator[pd.DataFrame]:
    """Comma-separated with a header; tab-separated where the file's ending is .tsv. `row` counts records."""
    allow_long_fields()
    tabs = file.suffix.lower() == ".tsv"
    delimiter = "\t" if tabs else ","
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        lines = Lines(text)
        header = _header(lines, delimiter, file)
        ours = our_columns(header, columns, file)
        places = {name: header.index(theirs) for name, theirs in ours.items()}
        rows: list[list[str]] = []
        numbers: list[int] = []
        found = records(lines, delimiter, len(header), plain=tabs)
        for number, (row, wrong) in enumerate(found, start=1):
            if wrong:
                rejects.add(Reject(str(file), number, "", wrong))
                continue
            rows.append(row)
            numbers.append(number)
            if len(rows) == chunk:
                yield _csv_frame(rows, numbers, places)
                rows, numbers = [], []
        if rows:
            yield _csv_frame(rows, numbers, places)


def _header(lines: Lines, delimiter: str, file: Path) -> list[str]:
    try:
        header = [name.strip() for name in next(csv.reader(lines, delimiter=delimiter), [])]
        "".join(header).encode()
    except (UnicodeEncodeError, csv.Error) as error:
        raise DataError(
            "its header is not UTF-8.", "Save it as UTF-8, for instance with `iconv`.", file=file
        ) from error
    return header


def _csv_frame(
    rows: Sequence[Sequence[str]], numbers: Sequence[int], places: Mapping[str, int]
) -> pd.DataFrame:
    frame = pd.DataFrame(
        {name: pd.Series([row[place] for row in rows], dtype=object) for name, place in places.items()}
    )
    frame["row"] = numbers
    return frame
