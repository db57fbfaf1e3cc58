"""What ingestion keeps in memory of every row: who it is, not what it says (about 40 bytes a row)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

KEY_COLUMNS = ("file", "source", "language", "split")


class Keys:
    """Gathers keys chunk by chunk; `frame()` gives them as assign.py wants them, with `file` and `row`."""

    def __init__(self) -> None:
        self._codes: dict[str, dict[str, int]] = {name: {} for name in ("query_id", *KEY_COLUMNS)}
        self._parts: dict[str, list[NDArray[np.int32]]] = {name: [] for name in self._codes}
        self._moments: list[NDArray[np.datetime64]] = []
        self._graded: list[NDArray[np.bool_]] = []
        self._rows: list[NDArray[np.int64]] = []
        self._pairs = PairSet()

    def new(self, chunk: pd.DataFrame) -> NDArray[np.bool_]:
        """Rows whose pair was not met before, in this chunk or an earlier one: (n,) bool."""
        return self._pairs.add(chunk["query_id"], chunk["doc_id"])

    def append(self, chunk: pd.DataFrame) -> None:
        for name, codes in self._codes.items():
            values = chunk[name].tolist()
            self._parts[name].append(
                np.fromiter((codes.setdefault(value, len(codes)) for value in values), np.int32, len(values))
            )
        self._moments.append(chunk["timestamp"].to_numpy("datetime64[us]"))
        self._graded.append(chunk["grade"].notna().to_numpy(bool))
        self._rows.append(chunk["row"].to_numpy(np.int64))

    def frame(self) -> pd.DataFrame:
        columns: dict[str, object] = {
            name: _categorical(parts, list(self._codes[name])) for name, parts in self._parts.items()
        }
        columns["timestamp"] = np.concatenate([np.zeros(0, "datetime64[us]"), *self._moments])
        columns["graded"] = np.concatenate([np.zeros(0, bool), *self._graded])
        columns["row"] = np.concatenate([np.zeros(0, np.int64), *self._rows])
        return pd.DataFrame(columns)


class PairSet:
    """Pairs met so far, 8 bytes each, as sorted 64-bit hashes.

    Two different pairs among ten million share a hash with a chance of 3e-6; the later one would be rejected.
    """

    def __init__(self) -> None:
        self._known: list[NDArray[np.uint64]] = []

    def add(self, query_ids: pd.Series, doc_ids: pd.Series) -> NDArray[np.bool_]:
        """Take in pairs; True where one is new."""
        joined = pd.Series(query_ids.to_numpy(object) + "\x1f" + doc_ids.to_numpy(object), dtype=object)
        hashes = pd.util.hash_array(joined.to_numpy(object), categorize=False)
        unique, first = np.unique(hashes, return_index=True)
        fresh = np.ones(len(unique), dtype=bool)
        for known in self._known:
            at = np.minimum(np.searchsorted(known, unique), len(known) - 1)
            fresh &= known[at] != unique
        new = np.zeros(len(hashes), dtype=bool)
        new[first[fresh]] = True
        self._insert(unique[fresh])
        return new

    def _insert(self, hashes: NDArray[np.uint64]) -> None:
        """Keep few sorted runs: a run is merged with the next while it is not much smaller than that one."""
        if len(hashes):
            self._known.append(hashes)
        while len(self._known) > 1 and len(self._known[-1]) * 2 > len(self._known[-2]):
            last = self._known.pop()
            self._known[-1] = np.union1d(self._known[-1], last)


def _categorical(parts: list[NDArray[np.int32]], names: list[str]) -> pd.Categorical:
    codes: NDArray[np.int32] = np.concatenate([np.zeros(0, np.int32), *parts])
    return pd.Categorical.from_codes(codes, pd.Index(names, dtype=object))
