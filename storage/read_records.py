"""Files of queries and of documents, read one record at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from serm.core.errors import ConfigError, DataError
from serm.core.records import Reject
from serm.core.text import is_utf8
from serm.storage.checks import BLANK, NOT_UTF8
from serm.storage.read_table import STREAMED
from serm.storage.read_text import json_rows
from serm.storage.rejects import RejectLog

Fields = Mapping[str, tuple[str, ...]]  # our name: the names that files give it, the best known first

QUERY_FIELDS: Final[Fields] = {"id": ("query_id", "_id", "qid", "id"), "text": ("query", "text", "title")}
DOCUMENT_FIELDS: Final[Fields] = {
    "id": ("doc_id", "_id", "docid", "docno", "pid", "id"),
    "title": ("title",),
    "text": ("text", "contents", "body", "passage"),
}
BATCH: Final = 10_000  # records in memory; chosen


def read_records(file: Path, fields: Fields, rejects: RejectLog) -> Iterator[tuple[int, dict[str, str]]]:
    """Every record of a file of queries or documents, with its number: our field names and texts, "" where
    there is none.

    Raises DataError where the file is missing or lacks a field, ConfigError for an unknown ending.
    """
    if not file.is_file():
        raise DataError("there is no such file.", "Paths are relative to the config's file.", file=file)
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise ConfigError(
            f"{file}: queries and documents are not read from `{file.suffix}`.",
            f"Write one of {', '.join(_READERS)}.",
        )
    some = False
    for number, row in reader(file, fields, rejects):
        if not row["id"]:
            rejects.add(Reject(str(file), number, "id", BLANK))
            continue
        if _has_surrogate(row):
            rejects.add(Reject(str(file), number, "text", NOT_UTF8))
            continue
        some = True
        yield number, row
    if not some:
        raise DataError("it holds no records.", "Write it again.", file=file)


def _json(file: Path, fields: Fields, rejects: RejectLog) -> Iterator[tuple[int, dict[str, str]]]:
    """Some records may lack a field, and name it in another way; among the first `BATCH` one has it."""
    present: dict[str, None] = {}
    for count, (number, row) in enumerate(json_rows(file, rejects), start=1):
        if count <= BATCH:
            present |= dict.fromkeys(row)
        if count == BATCH:
            _require(list(present), fields, file)
        yield number, {name: _text(row.get(theirs)) for name, theirs in _names(row, fields).items()}
    if present:
        _require(list(present), fields, file)


def _parquet(file: Path, fields: Fields, rejects: RejectLog) -> Iterator[tuple[int, dict[str, str]]]:
    del rejects
    number = 0
    try:
        with pq.ParquetFile(file, **STREAMED) as parquet:
            names = _names(parquet.schema_arrow.names, fields)
            _require(parquet.schema_arrow.names, fields, file)
            used = [name for name in names.values() if name]
            for batch in parquet.iter_batches(batch_size=BATCH, columns=used):
                for row in batch.to_pylist():
                    number += 1
                    yield number, {name: _text(row.get(theirs)) for name, theirs in names.items()}
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise DataError(f"it is no whole Parquet file ({error}).", "Write it again.", file=file) from error


def _tabs(file: Path, fields: Fields, rejects: RejectLog) -> Iterator[tuple[int, dict[str, str]]]:
    """Tab-separated, no quotes: id and text, or id, title and text. A header is known by its first name."""
    with file.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            try:
                cells = raw.decode("utf-8-sig").rstrip("\r\n").split("\t")
            except UnicodeDecodeError:
                rejects.add(Reject(str(file), number, "", NOT_UTF8))
                continue
            if cells == [""] or (number == 1 and cells[0].lower() in fields["id"]):
                continue
            if len(cells) < 2 or len(cells) > len(fields):
                rejects.add(Reject(str(file), number, "", "another number of fields than such a file has"))
                continue
            title = {"title": cells[1] if len(cells) == 3 else ""} if "title" in fields else {}
            yield number, {"id": cells[0], **title, "text": cells[-1]}


_READERS: Final[dict[str, Callable[[Path, Fields, RejectLog], Iterator[tuple[int, dict[str, str]]]]]] = {
    ".jsonl": _json,
    ".ndjson": _json,
    ".parquet": _parquet,
    ".tsv": _tabs,
    ".txt": _tabs,
}


def _names(present: Collection[str], fields: Fields) -> dict[str, str]:
    """The file's name of each field, "" for one that it lacks."""
    return {ours: next((name for name in theirs if name in present), "") for ours, theirs in fields.items()}


def _require(present: Sequence[str], fields: Fields, file: Path) -> None:
    for ours, name in _names(present, fields).items():
        if not name and ours != "title":
            raise DataError(
                f"the column `{fields[ours][0]}` is missing; there are {', '.join(present)}.",
                "Rename the column that holds it.",
                file=file,
                field=fields[ours][0],
            )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _has_surrogate(row: Mapping[str, str]) -> bool:
    return not is_utf8("".join(row.values()))
