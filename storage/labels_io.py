"""Labels as people pass them on: Parquet, JSONL, CSV or TREC qrels, by the file's ending."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from serm.core.columns import DISTRIBUTION, KEY
from serm.core.errors import ConfigError, DataError
from serm.storage.artifacts import write_file
from serm.storage.labels import LABELS_SCHEMA
from serm.storage.labels_rows import READERS, checked_label
from serm.storage.trec_ids import require_no_blanks

COLUMNS: Final = tuple(LABELS_SCHEMA.names)
NEEDED: Final = (*KEY, "grade")
"""Columns without which a file is no labels file; the others may be missing, and are then empty."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a labels file holds, and what its format cannot."""

    rows: int
    dropped_rows: int = 0  # pairs without a grade
    dropped_columns: tuple[str, ...] = ()


def write_labels_as(labels: pd.DataFrame, path: Path) -> Written:
    """Write a labels frame (as `read_labels` gives it) by the file's ending, whole or not at all.

    TREC qrels (.qrels, .txt) keep query, document and grade: pairs without a grade are left out. Raises
    ConfigError for another ending, DataError for an id with blanks in it, which qrels cannot hold.
    """
    check_labels_path(path)
    return _WRITERS[path.suffix.lower()](labels, path)


def check_labels_path(path: Path) -> None:
    """Raises ConfigError where labels are not written with this ending: before they are paid for."""
    if path.suffix.lower() not in _WRITERS:
        raise ConfigError(
            f"{path}: labels are not written as `{path.suffix}`.", f"Use one of {', '.join(_WRITERS)}."
        )


def read_labels_any(path: Path, *, once: bool = False) -> pd.DataFrame:
    """A labels file of any of these formats as `read_labels` gives it, the columns that it lacks empty.

    Of qrels the outcome is "" and there are no votes. Raises DataError, naming file, row and field, for what
    is missing or no label, and under `once` for a pair that stands twice; ConfigError for an ending that
    tells no format.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(
            f"{path}: the ending `{path.suffix}` is that of no labels.",
            f"It is one of {', '.join(READERS)}.",
        )
    if not path.is_file():
        raise DataError("there is no such file.", "`serm annotate` writes labels.", file=path)
    rows = list(reader(path))
    if not rows:
        raise DataError("it holds no labels.", "Write it again.", file=path)
    first = rows[0][1]
    missing = [name for name in NEEDED if name not in first]
    if missing:
        raise DataError(
            f"the column is missing; there are {', '.join(first)}.",
            f"Labels have {', '.join(NEEDED)}.",
            file=path,
            field=missing[0],
        )
    checked = [checked_label(row, number, path) for number, row in rows]
    if once:
        _require_once(checked, [number for number, _ in rows], path)
    frame = pd.DataFrame(checked, columns=list(COLUMNS))
    types: dict[str, Any] = {"grade": "Int8", "calls": "int32", "tokens": "int64", "cost": "float64"}
    return frame.astype(types | dict.fromkeys(DISTRIBUTION, "float32"))


def _require_once(labels: Sequence[Mapping[str, Any]], numbers: Sequence[int], path: Path) -> None:
    found: dict[tuple[str, str], int] = {}
    for label, number in zip(labels, numbers, strict=True):
        query_id, doc_id = (label[name] for name in KEY)
        if (first := found.setdefault((query_id, doc_id), number)) != number:
            raise DataError(
                f"the pair {query_id}, {doc_id} has a label in row {first} as well.",
                "Keep the one that holds.",
                file=path,
                row=number,
            )


def _plain(labels: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame's rows as Python values, None where there is none."""
    frame = labels[[*COLUMNS]].astype(object)
    return [
        {str(name): value for name, value in row.items()}
        for row in frame.where(frame.map(_is_there), None).to_dict("records")
    ]


def _is_there(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or not pd.isna(value)


def _parquet(labels: pd.DataFrame, path: Path) -> Written:
    rows = [{**row, "votes": json.dumps(row["votes"], ensure_ascii=False)} for row in _plain(labels)]
    table = pa.Table.from_pylist(rows, schema=LABELS_SCHEMA)
    write_file(path, lambda temporary: pq.write_table(table, temporary))
    return Written(len(rows))


def _jsonl(labels: pd.DataFrame, path: Path) -> Written:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in _plain(labels)]
    write_file(path, lambda temporary: _text(temporary, "".join(lines)))
    return Written(len(lines))


def _csv(labels: pd.DataFrame, path: Path) -> Written:
    rows = [{**row, "votes": json.dumps(row["votes"], ensure_ascii=False)} for row in _plain(labels)]

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    write_file(path, write)
    return Written(len(rows))


def _qrels(labels: pd.DataFrame, path: Path) -> Written:
    kept = labels.dropna(subset=["grade"])
    require_no_blanks(kept, path, "qrels")
    lines = [
        f"{query} 0 {document} {grade}\n"
        for query, document, grade in kept[[*NEEDED]].itertuples(index=False, name=None)
    ]
    write_file(path, lambda temporary: _text(temporary, "".join(lines)))
    others = tuple(name for name in COLUMNS if name not in NEEDED)
    return Written(len(lines), len(labels) - len(lines), others)


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


_WRITERS: Final[Mapping[str, Callable[[pd.DataFrame, Path], Written]]] = {
    ".parquet": _parquet,
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".qrels": _qrels,
    ".txt": _qrels,
}
