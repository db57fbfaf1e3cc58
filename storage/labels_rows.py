"""Rows of labels files in any of their formats, read strictly."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from serm.core.columns import DISTRIBUTION, KEY
from serm.core.errors import DataError
from serm.core.records import GRADES, Outcome
from serm.storage.labels import LABELS_SCHEMA

Rows = Iterator[dict[str, Any]]


def _from_parquet(path: Path) -> Rows:
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise DataError(f"it is no whole Parquet file ({error}).", "Write it again.", file=path) from error
    yield from table.to_pylist()


def _from_jsonl(path: Path) -> Rows:
    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"it is no JSON ({error}).", "Mend the line.", file=path, row=number) from error
        if not isinstance(row, dict):
            raise DataError("it is no JSON object.", "Mend the line.", file=path, row=number)
        yield row


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers; a text of JSON may hold other line ends than \\n."""
    with path.open(encoding="utf-8", newline="\n") as file:
        yield from ((number, line) for number, line in enumerate(file, start=1) if line.strip())


def _from_csv(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _from_qrels(path: Path) -> Rows:
    for number, line in _lines(path):
        cells = line.split()
        if len(cells) != 4:
            raise DataError(
                f"it has {len(cells)} fields, and a line of qrels has 4.", "Mend it.", file=path, row=number
            )
        yield {"query_id": cells[0], "doc_id": cells[2], "grade": cells[3]}


READERS: Final[Mapping[str, Callable[[Path], Rows]]] = {
    ".parquet": _from_parquet,
    ".jsonl": _from_jsonl,
    ".csv": _from_csv,
    ".qrels": _from_qrels,
    ".txt": _from_qrels,
}


def checked_label(row: Mapping[str, Any], number: int, path: Path) -> dict[str, Any]:
    """One label with all columns, or a DataError that names what is wrong with it."""
    found: dict[str, Any] = {}
    for name in LABELS_SCHEMA.names:
        try:
            found[name] = _TAKEN[name](row.get(name))
        except (TypeError, ValueError) as error:
            said = str(row.get(name))[:80]
            raise DataError(
                f"`{said}` does not fit ({error}).", "Mend the row.", file=path, row=number, field=name
            ) from None
    return found


def _id(value: Any) -> str:
    text = "" if value is None else str(value)
    if not text.strip():
        raise ValueError("a pair names its query and its document")
    return text


def _grade(value: Any) -> int | None:
    if value in (None, ""):
        return None
    if float(value) not in GRADES:
        raise ValueError("a grade is 0, 1, 2 or 3")
    return int(float(value))


def _share(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def _outcome(value: Any) -> str:
    return Outcome(value).value if value else ""


def _votes(value: Any) -> list[list[Any]]:
    votes = json.loads(value) if isinstance(value, str) and value else value or []
    return [[str(judge), _grade(grade)] for judge, grade in votes]


_TAKEN: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(KEY, _id),
    "grade": _grade,
    **dict.fromkeys(DISTRIBUTION, _share),
    "outcome": _outcome,
    "votes": _votes,
    "rationale": lambda value: str(value or ""),
    "calls": lambda value: int(float(value or 0)),
    "tokens": lambda value: int(float(value or 0)),
    "cost": lambda value: float(value or 0),
}
