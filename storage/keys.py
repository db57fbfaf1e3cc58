"""What ingestion keeps in memory of every row: who it is, not what it says (about 60 bytes a row)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.columns import FEEDBACK
from serm.storage.repeats import LOGGED

KEY_COLUMNS = ("file", "source", "language", "split")


class Keys:
    """Gathers keys chunk by chunk; `frame()` gives them as assign.py wants them.

    Beside those columns: `file`, `row`, `grade` (-1 for none), `pair` (a hash of its ids), `logged` (whether
    a log's counts stand there) and `said` (a hash of those and of their time).
    """

    def __init__(self) -> None:
        self._codes: dict[str, dict[str, int]] = {name: {} for name in ("query_id", *KEY_COLUMNS)}
        self._parts: dict[str, list[NDArray[np.int32]]] = {name: [] for name in self._codes}
        self._moments: list[NDArray[np.datetime64]] = []
        self._grades: list[NDArray[np.int8]] = []
        self._logged: list[NDArray[np.bool_]] = []
        self._pairs: list[NDArray[np.uint64]] = []
        self._said: list[NDArray[np.uint64]] = []
        self._rows: list[NDArray[np.int64]] = []

    def append(self, chunk: pd.DataFrame) -> None:
        for name, codes in self._codes.items():
            values = chunk[name].tolist()
            self._parts[name].append(
                np.fromiter((codes.setdefault(value, len(codes)) for value in values), np.int32, len(values))
            )
        self._moments.append(chunk["timestamp"].to_numpy("datetime64[us]"))
        self._grades.append(chunk["grade"].fillna(-1).to_numpy(np.int8))
        self._logged.append(np.asarray(chunk[[*LOGGED]].notna().any(axis=1), dtype=bool))
        self._pairs.append(pair_hashes(chunk["query_id"], chunk["doc_id"]))
        said = pd.util.hash_pandas_object(chunk[["timestamp", *FEEDBACK]], index=False)
        self._said.append(np.asarray(said, dtype=np.uint64))
        self._rows.append(chunk["row"].to_numpy(np.int64))

    def frame(self) -> pd.DataFrame:
        columns: dict[str, object] = {
            name: _categorical(parts, list(self._codes[name])) for name, parts in self._parts.items()
        }
        columns["timestamp"] = np.concatenate([np.zeros(0, "datetime64[us]"), *self._moments])
        grades = np.concatenate([np.zeros(0, np.int8), *self._grades])
        columns["grade"], columns["graded"] = grades, grades >= 0
        columns["logged"] = np.concatenate([np.zeros(0, bool), *self._logged])
        columns["pair"] = np.concatenate([np.zeros(0, np.uint64), *self._pairs])
        columns["said"] = np.concatenate([np.zeros(0, np.uint64), *self._said])
        columns["row"] = np.concatenate([np.zeros(0, np.int64), *self._rows])
        return pd.DataFrame(columns)


def pair_hashes(query_ids: pd.Series, doc_ids: pd.Series) -> NDArray[np.uint64]:
    """(n,): two different pairs among ten million share one with a chance of 3e-6."""
    joined = query_ids.to_numpy(object) + "\x1f" + doc_ids.to_numpy(object)
    return np.asarray(pd.util.hash_array(joined, categorize=False), dtype=np.uint64)


def _categorical(parts: list[NDArray[np.int32]], names: list[str]) -> pd.Categorical:
    codes: NDArray[np.int32] = np.concatenate([np.zeros(0, np.int32), *parts])
    return pd.Categorical.from_codes(codes, pd.Index(names, dtype=object))
