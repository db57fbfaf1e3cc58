"""Files that people hand in, read strictly: what is wrong with one is a DataError by file, row and field.

Pairs are read by `readers` instead, which rejects a bad row and goes on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from serm.core.errors import DataError
from serm.core.text import is_utf8

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
                _check_utf8(line, file, number)
                yield number, line


def csv_rows(file: Path, delimiter: str = ",") -> Iterator[dict[str, Any]]:
    """Rows of a CSV file with a header, as `csv.DictReader` gives them."""
    allow_long_fields()
    number = 0  # of the row before; the header's is none
    with _opened(file, newline="") as text:
        reader = csv.DictReader(text, delimiter=delimiter, strict=True)
        try:
            for name in reader.fieldnames or ():
                _check_utf8(name, file, None)
            for number, row in enumerate(reader, start=1):
                for field, value in row.items():
                    _check_utf8(value, file, number, field)
                yield row
        except csv.Error as error:
            raise DataError(f"it is no CSV ({error}).", "Mend it.", file=file, row=number + 1) from error


def parquet_rows(file: Path, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Rows of a Parquet file; `columns`: of these alone, as far as they are there."""
    try:
        there = pq.read_schema(file).names
        wanted = None if columns is None else [name for name in columns if name in there]
        table = pq.read_table(file, columns=wanted)
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"it is no whole Parquet file ({said}).", "Write it again.", file=file) from error
    try:
        rows: list[dict[str, Any]] = table.to_pylist()
    except UnicodeDecodeError as error:
        raise _not_utf8(file, None, _broken_column(table)) from error
    return rows


@contextmanager
def _opened(file: Path, newline: str) -> Iterator[IO[str]]:
    """Bytes that are no UTF-8 come as lone surrogates, so that it can be said in which row they stand."""
    try:
        text = file.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline)
    except OSError as error:
        raise DataError(f"it cannot be read ({error.strerror}).", "Make it readable.", file=file) from error
    with text:
        yield text


def _check_utf8(value: object, file: Path, row: int | None, field: str | None = None) -> None:
    if isinstance(value, list):  # fields that the header has no name for
        value = "".join(value)
    if isinstance(value, str) and not is_utf8(value):
        raise _not_utf8(file, row, field)


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
