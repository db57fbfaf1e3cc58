"""The second pass of ingestion: staged rows go to the file of their set, row group by row group."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from serm.core.columns import FEEDBACK
from serm.core.hashing import HASH_LENGTH
from serm.storage.dataset import GRADED_SCHEMA
from serm.storage.repeats import Added

STAGED_SCHEMA = GRADED_SCHEMA
OPEN_FILES = 200  # written at a time; chosen well under the 1,024 that systems commonly allow


Mask = NDArray[np.bool_]
Selection = Callable[[slice], Mask]
"""Which of a stretch of the staged rows a target takes. It is worked out a row group at a time: a mask over
all rows for each of many windows would be many times the keys."""


def masked(mask: Mask) -> Selection:
    """The rows of a mask (n,)."""
    return lambda here: mask[here]


def coded(mask: Mask, codes: NDArray[np.int32], code: int) -> Selection:
    """Those of a mask (n,) that bear a code, as `codes` (n,) says, which many targets share."""
    return lambda here: mask[here] & (codes[here] == code)


def numbered(rows: NDArray[np.int64]) -> Selection:
    """The rows with these numbers, from 0 and in ascending order."""

    def among(here: slice) -> Mask:
        taken = np.zeros(here.stop - here.start, dtype=bool)
        first, last = np.searchsorted(rows, (here.start, here.stop))
        taken[rows[first:last] - here.start] = True
        return taken

    return among


@dataclass
class Target:
    """One file to be: which rows it takes, with which columns, and what is known of it afterwards."""

    path: Path
    rows: Selection
    schema: pa.Schema
    extra: dict[str, NDArray[Any]] = field(default_factory=dict)  # (n,) columns that the staged rows lack
    pairs: int = 0
    _queries: set[str] = field(default_factory=set)
    _state: Any = field(default_factory=hashlib.sha256)
    _pairs_state: Any = field(default_factory=hashlib.sha256)

    @property
    def queries(self) -> int:
        return len(self._queries)

    @property
    def id(self) -> str:
        """Hash of the rows by the columns of `schema`, however they were cut into chunks."""
        return str(self._state.hexdigest())[:HASH_LENGTH]

    @property
    def pairs_id(self) -> str:
        """The same without what a log counts, which grows while the pairs stay."""
        return str(self._pairs_state.hexdigest())[:HASH_LENGTH]

    def note(self, part: pd.DataFrame) -> None:
        """Count rows and take them into the hash."""
        self.pairs += len(part)
        self._queries.update(part["query_id"].tolist())
        hashes = {
            name: pd.util.hash_pandas_object(part[name], index=False, categorize=False).to_numpy(np.uint64)
            for name in self.schema.names
        }
        self._state.update(np.column_stack([*hashes.values()]).tobytes())
        pairs = [column for name, column in hashes.items() if name not in FEEDBACK]
        self._pairs_state.update(np.column_stack(pairs).tobytes())


def route(staged: Path, targets: Sequence[Target], added: Added) -> None:
    """Write every target. Memory is bounded by one row group of `staged`, however long it is."""
    for start in range(0, len(targets), OPEN_FILES):
        _pass(staged, targets[start : start + OPEN_FILES], added)


def _pass(staged: Path, targets: Sequence[Target], added: Added) -> None:
    with ExitStack() as stack:
        writers = [
            stack.enter_context(pq.ParquetWriter(target.path, target.schema, compression="zstd"))
            for target in targets
        ]
        file = stack.enter_context(pq.ParquetFile(staged))
        start = 0
        for group in range(file.num_row_groups):
            frame = file.read_row_group(group).to_pandas()
            here = slice(start, start + len(frame))
            added.put(frame, start)
            for target, writer in zip(targets, writers, strict=True):
                taken = target.rows(here)
                if taken.any():
                    part = _part(frame, target, taken, here)
                    target.note(part)
                    writer.write_table(pa.Table.from_pandas(part, target.schema, preserve_index=False))
            start = here.stop


def _part(frame: pd.DataFrame, target: Target, taken: Mask, here: slice) -> pd.DataFrame:
    part = frame[taken].reset_index(drop=True)
    for name, values in target.extra.items():
        part[name] = values[here][taken]
    part = pd.DataFrame(part[target.schema.names])
    # Beside rows without a grade pandas made it a float; where it is asked for, every row has one.
    return part.astype({"grade": "int64"}) if "grade" in part else part
