"""Raw chunks of Parquet files, with our column names and a `row` that counts from 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from serm.core.columns import FEEDBACK, PAIR, REQUIRED
from serm.core.errors import ConfigError, DataError
from serm.storage.checks import WRONG_TYPE
from serm.storage.csv_file import separator_of
from serm.storage.rejects import RejectLog

Columns = Mapping[str, str]  # our name: the file's name

STREAMED: Final[dict[str, Any]] = {"pre_buffer": False, "buffer_size": 2**20}
"""Page by page: where pyarrow buffers ahead, it keeps all that was read until the file is closed."""

_NAMED: Final = {";": "semicolons", "\t": "tabs"}
_IDS: Final = ("query_id", "doc_id")
_NUMBERS: Final = (*FEEDBACK, "grade")


def our_columns(present: Sequence[str], columns: Columns, file: Path) -> dict[str, str]:
    """The file's name of every column of ours that it has: {ours: theirs}.

    Raises ConfigError for a rename of a name we do not know, DataError for a column that is missing, or that
    stands twice: nobody knows which is meant.
    """
    unknown = sorted(set(columns) - set(PAIR))
    if unknown:
        raise ConfigError(
            f"data.sources.columns: `{unknown[0]}` is no column of serm.", f"It knows {', '.join(PAIR)}."
        )
    wanted = {name: columns.get(name, name) for name in PAIR}
    for name, theirs in wanted.items():
        if list(present).count(theirs) > 1:
            raise DataError(
                f"the column `{theirs}` stands twice.",
                "Leave one of them, or rename it.",
                file=file,
                field=name,
            )
        if theirs not in present and (name in REQUIRED or name in columns):
            other = _NAMED.get(separator_of(present[0])) if len(present) == 1 else None
            raise DataError(
                f"the column `{theirs}` is missing; there are {', '.join(present) or 'none'}.",
                f"Its columns are parted by {other}: save it with commas, or with tabs as .tsv."
                if other
                else f"Name the column that holds it with `columns: {{{name}: ...}}` in the config.",
                file=file,
                field=name,
            )
    return {name: theirs for name, theirs in wanted.items() if theirs in present}


def read_parquet(file: Path, columns: Columns, rejects: RejectLog, chunk: int) -> Iterator[pd.DataFrame]:
    del rejects  # a Parquet file has no broken rows of its own
    start = 1
    try:
        with pq.ParquetFile(file, **STREAMED) as parquet:
            ours = our_columns(parquet.schema_arrow.names, columns, file)
            for name, theirs in ours.items():
                _check_type(name, parquet.schema_arrow.field(theirs).type, file)
            for batch in parquet.iter_batches(batch_size=chunk, columns=list(ours.values())):
                frame = pd.DataFrame({name: _series(batch.column(theirs)) for name, theirs in ours.items()})
                frame["row"] = np.arange(start, start + len(frame))
                start += len(frame)
                yield frame
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise DataError(
            f"it is no whole Parquet file ({str(error).splitlines()[0]}).",
            "It may have been cut off: copy or write it again.",
            file=file,
        ) from error


def _series(column: pa.Array) -> pd.Series:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_dictionary(column.type):
        column = column.cast(kind)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        return pd.Series(_decoded(column), dtype=object)
    plain = pa.types.is_integer(kind) and not column.null_count
    if plain or pa.types.is_timestamp(kind) or pa.types.is_floating(kind):
        series: pd.Series = column.to_pandas()
        return series
    return pd.Series(column.to_pylist(), dtype=object)


def _decoded(column: pa.Array) -> list[str | None]:
    """Texts; bytes that are no UTF-8 become surrogates, which the checks then reject row by row."""
    try:
        column.validate(full=True)
        if not pa.types.is_binary(column.type):
            texts: list[str | None] = column.to_pylist()
            return texts
    except pa.ArrowInvalid:
        pass
    binary = column.cast(pa.large_binary())
    return [
        None if value is None else value.decode("utf-8", "surrogateescape") for value in binary.to_pylist()
    ]


def _check_type(name: str, kind: pa.DataType, file: Path) -> None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    types = pa.types
    textual = types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind)
    numeric = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    good = types.is_null(kind) or textual
    wants = "text"
    if name in _IDS:
        good, wants = good or types.is_integer(kind), "text or whole numbers"
    elif name in _NUMBERS:
        good, wants = good or numeric, "numbers"
    elif name == "timestamp":
        good, wants = (
            good or types.is_timestamp(kind) or types.is_date(kind),
            "dates, timestamps or ISO 8601 text",
        )
    if not good:
        raise DataError(
            f"{WRONG_TYPE}: it holds {kind}, and should hold {wants}.",
            "Convert the column, or name another with `columns:`.",
            file=file,
            field=name,
        )
