"""Rows of labels files in any of their formats, read strictly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from serm.core.columns import DISTRIBUTION, KEY
from serm.core.errors import DataError
from serm.core.records import GRADES, Outcome
from serm.core.text import is_utf8
from serm.storage.labels import LABELS_SCHEMA
from serm.storage.read_strictly import csv_rows, jsonl_rows, numbered_lines, parquet_rows

Rows = Iterable[tuple[int, dict[str, Any]]]
"""The row's number from 1 (of JSONL and qrels the line's), and the row."""


def _from_qrels(path: Path) -> Rows:
    for number, line in numbered_lines(path):
        cells = line.split()
        if len(cells) != 4:
            raise DataError(
                f"it has {len(cells)} fields, and a line of qrels has 4.", "Mend it.", file=path, row=number
            )
        yield number, {"query_id": cells[0], "doc_id": cells[2], "grade": cells[3]}


READERS: Final[Mapping[str, Callable[[Path], Rows]]] = {
    ".parquet": lambda path: enumerate(parquet_rows(path), start=1),
    ".jsonl": jsonl_rows,
    ".csv": lambda path: enumerate(csv_rows(path, once=LABELS_SCHEMA.names), start=1),
    ".qrels": _from_qrels,
    ".txt": _from_qrels,
}


def checked_label(row: Mapping[str, Any], number: int, path: Path) -> dict[str, Any]:
    """One label with all columns, or a DataError that names what is wrong with it."""
    found: dict[str, Any] = {}
    for name in LABELS_SCHEMA.names:
        try:
            found[name] = _TAKEN[name](row.get(name))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            said = str(row.get(name))[:80]
            raise DataError(
                f"`{said}` does not fit ({error}).", "Mend the row.", file=path, row=number, field=name
            ) from None
    return found


def _id(value: Any) -> str:
    text = _text(value)
    if not text.strip():
        raise ValueError("a pair names its query and its document")
    return text


def _text(value: Any) -> str:
    text = "" if value is None else str(value)
    if not is_utf8(text):
        raise ValueError("it is not UTF-8")
    return text


def _grade(value: Any) -> int | None:
    if value in (None, ""):
        return None
    if isinstance(value, bool) or float(value) not in GRADES:
        raise ValueError("a grade is 0, 1, 2 or 3")
    return int(float(value))


def _share(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def _count(value: Any, limit: int) -> int:
    """A count under `limit`: its column holds no more."""
    count = int(float(value or 0))
    if not 0 <= count < limit:
        raise ValueError("it is no count")
    return count


def _outcome(value: Any) -> str:
    return Outcome(value).value if value else ""


def _votes(value: Any) -> list[list[Any]]:
    votes = json.loads(value) if isinstance(value, str) and value else value or []
    return [[_text(judge), _grade(grade)] for judge, grade in votes]


_TAKEN: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(KEY, _id),
    "grade": _grade,
    **dict.fromkeys(DISTRIBUTION, _share),
    "outcome": _outcome,
    "votes": _votes,
    "rationale": lambda value: _text(value or ""),
    "calls": lambda value: _count(value, 2**31),
    "tokens": lambda value: _count(value, 2**63),
    "cost": lambda value: float(value or 0),
}
