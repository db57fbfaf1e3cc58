"""The second pass of ingestion: staged rows go to the file of their set, row group by row group."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from serm.core.hashing import HASH_LENGTH
from serm.storage.dataset import GRADED_SCHEMA, PAIRS_SCHEMA

STAGED_SCHEMA = GRADED_SCHEMA


@dataclass
class Target:
    """One file to be: which rows it takes, with which columns, and what is known of it afterwards."""

    path: Path
    rows: NDArray[np.bool_]  # (n,) over all staged rows
    schema: pa.Schema
    extra: dict[str, NDArray[Any]] = field(default_factory=dict)  # (n,) columns that the staged rows lack
    pairs: int = 0
    _queries: set[str] = field(default_factory=set)
    _state: Any = field(default_factory=hashlib.sha256)

    @property
    def queries(self) -> int:
        return len(self._queries)

    @property
    def id(self) -> str:
        """Hash of the content of the pairs frame, however it was cut into chunks; grades do not count."""
        return str(self._state.hexdigest())[:HASH_LENGTH]

    def note(self, frame: pd.DataFrame) -> None:
        self.pairs += len(frame)
        self._queries.update(frame["query_id"].tolist())
        for name in PAIRS_SCHEMA.names:
            if name in frame:
                hashes = pd.util.hash_pandas_object(frame[name], index=False, categorize=False)
                frame = frame.assign(**{name: hashes})
        present = [name for name in PAIRS_SCHEMA.names if name in frame]
        self._state.update(np.ascontiguousarray(frame[present].to_numpy(np.uint64)).tobytes())


def route(staged: Path, targets: list[Target]) -> None:
    """Write every target. Memory is bounded by one row group of `staged`, whatever its length."""
    writers = [pq.ParquetWriter(target.path, target.schema, compression="zstd") for target in targets]
    try:
        file = pq.ParquetFile(staged)
        start = 0
        for group in range(file.num_row_groups):
            frame = file.read_row_group(group).to_pandas()
            here = slice(start, start + len(frame))
            for target, writer in zip(targets, writers, strict=True):
                taken = target.rows[here]
                if taken.any():
                    part = frame[taken].reset_index(drop=True)
                    for name, values in target.extra.items():
                        part[name] = values[here][taken]
                    target.note(part)
                    writer.write_table(
                        pa.Table.from_pandas(part[target.schema.names], target.schema, preserve_index=False)
                    )
            start = here.stop
    finally:
        for writer in writers:
            writer.close()
