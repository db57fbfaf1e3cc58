"""Files that people hand in, read strictly: what is wrong with one is a DataError by file, row and field.

Pairs are read by `readers` instead, which rejects a bad row and goes on.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from serm.core.errors import DataError
from serm.core.text import is_utf8
from serm.storage.csv_records import Lines, records

_FIELD_LIMIT: Final = 16 * 2**20
"""Characters of one CSV field: chosen, far over any document, so that an open quote ends somewhere."""


def allow_long_fields() -> None:
    """Have the csv module take fields as long as documents are: its own limit is 131,072 characters."""
    csv.field_size_limit(max(csv.field_size_limit(), _FIELD_LIMIT))


def numbered_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers from 1; they end with \\n alone: a text of JSON may hold
    other line ends."""
    with _opened(file, newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                if not is_utf8(line):
                    raise _not_utf8(file, number, None)
                yield number, line


def jsonl_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number of the line, object) of every line that is not blank."""
    for number, line in numbered_lines(file):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"it is no JSON ({error}).", "Mend the line.", file=file, row=number) from error
        if not isinstance(row, dict):
            raise DataError("it is no JSON object.", "Mend the line.", file=file, row=number)
        yield number, row


def csv_rows(file: Path, delimiter: str = ",", *, once: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Rows of a CSV file with a header, by its names; `once`: columns of which none may stand twice."""
    allow_long_fields()
    with _opened(file, newline="") as text:
        lines = Lines(text)
        header = _header(lines, delimiter, file)
        _require_once(header, once, file)
        found = records(lines, delimiter, len(header), plain=delimiter == "\t")
        for number, (cells, wrong) in enumerate(found, start=1):
            if wrong:
                raise DataError(f"{wrong}.", "Mend the row.", file=file, row=number)
            row = dict(zip(header, cells, strict=True))
            if not is_utf8("".join(cells)):
                raise _not_utf8(file, number, next(name for name in row if not is_utf8(row[name])))
            yield row


def _header(lines: Lines, delimiter: str, file: Path) -> list[str]:
    try:
        header = next((row for row in csv.reader(lines, delimiter=delimiter, strict=True) if row), [])
    except csv.Error as error:
        raise DataError(f"its header is no CSV ({error}).", "Mend it.", file=file) from error
    if not is_utf8("".join(header)):
        raise _not_utf8(file, None, None)
    return header


def _require_once(names: Sequence[str], once: Sequence[str], file: Path) -> None:
    for name in once:
        if names.count(name) > 1:
            raise DataError(
                f"the column `{name}` stands twice.",
                "Leave one of them, or rename it.",
                file=file,
                field=name,
            )


def parquet_rows(file: Path, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Rows of a Parquet file; `columns`: of these alone, as far as they are there."""
    rows: list[dict[str, Any]] = parquet_table(file, columns).to_pylist()
    return rows


def parquet_table(file: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A Parquet file whose texts are UTF-8; `columns`: these alone, as far as they are there."""
    try:
        there = pq.read_schema(file).names
        wanted = None if columns is None else [name for name in columns if name in there]
        _require_once(there, wanted or (), file)
        table = pq.read_table(file, columns=wanted)
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"it is no whole Parquet file ({said}).", "Write it again.", file=file) from error
    broken = _broken_column(table)
    if broken is not None:
        raise _not_utf8(file, None, broken)
    return table


@contextmanager
def _opened(file: Path, newline: str) -> Iterator[IO[str]]:
    """Bytes that are no UTF-8 come as lone surrogates, so that it can be said in which row they stand."""
    try:
        text = file.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline)
    except OSError as error:
        raise DataError(f"it cannot be read ({error.strerror}).", "Make it readable.", file=file) from error
    with text:
        yield text


def _not_utf8(file: Path, row: int | None, field: str | None) -> DataError:
    return DataError(
        "it is not UTF-8.", "Save it as UTF-8, for instance with `iconv`.", file=file, row=row, field=field
    )


def _broken_column(table: pa.Table) -> str | None:
    for name in table.column_names:
        try:
            table[name].validate(full=True)
        except pa.ArrowInvalid:
            return str(name)
    return None
