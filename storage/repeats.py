"""Rows of a pair that a log has more than once: told apart over keys, then added up.

A log tells of a pair again whenever its query is asked again. In another window that is another row of the
stream. In the same window it is one pair with more requests: impressions and clicks are added, the longest
dwell time stays, and the position is the mean over impressions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from serm.core.columns import FEEDBACK
from serm.storage.assign import NONE, Codes, Mask

LOGGED: Final = ("impressions", "clicks", "dwell_seconds")
"""Columns of which one at least must be told for a row to add anything to a pair."""
_HARDLY: Final = 1e-9  # what the position of a row counts that was never shown, beside those that were

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Repeats:
    """Rows that tell of a pair which another row of the same place has, by their numbers."""

    again: Rows  # (k,) ascending: a log's, to be added to the row in `into`
    into: Rows  # (k,)
    twice: Rows  # ascending: they add nothing, or bear a second grade

    @property
    def rows(self) -> Rows:
        return np.concatenate([self.again, self.twice])


def find_repeats(keys: pd.DataFrame, place: Codes) -> Repeats:
    """`place` (n,): where a row goes, -1 where nothing takes it; a pair is there once.

    The first row with a grade stays, where none has one the first.
    """
    rows = np.flatnonzero(place != NONE)
    table = pd.DataFrame({"pair": keys["pair"].to_numpy()[rows], "place": place[rows], "row": rows})
    table = table[table.duplicated(["pair", "place"], keep=False)]
    table["ungraded"] = ~keys["graded"].to_numpy(bool)[table["row"]]
    table = table.sort_values(["ungraded", "row"], kind="stable")
    table["first"] = table.groupby(["pair", "place"], sort=False)["row"].transform("first")
    table = table[table["first"] != table["row"]].sort_values("row")
    adds = table["ungraded"].to_numpy(bool) & keys["logged"].to_numpy(bool)[table["row"]]
    row, first = (table[name].to_numpy(np.int64) for name in ("row", "first"))
    return Repeats(row[adds], first[adds], row[~adds])


def came_before(keys: pd.DataFrame, among: Mask, window: Codes) -> Mask:
    """Rows of `among` whose pair an earlier window has there, too: (n,) bool."""
    rows = np.flatnonzero(among)
    rows = rows[np.argsort(window[rows], kind="stable")]
    later = np.zeros(len(keys), dtype=bool)
    later[rows[keys["pair"].iloc[rows].duplicated().to_numpy(bool)]] = True
    return later


@dataclass(frozen=True, eq=False)
class Added:
    """What FEEDBACK of some staged rows is once their repeats are added."""

    rows: Rows  # (m,) ascending
    values: Floats  # (m, 4), in the order of FEEDBACK

    def put(self, frame: pd.DataFrame, start: int) -> None:
        """Into a frame of the staged rows from `start` on, in place."""
        first, last = np.searchsorted(self.rows, (start, start + len(frame)))
        if first < last:
            frame.loc[self.rows[first:last] - start, [*FEEDBACK]] = self.values[first:last]


def add_up(staged: Path, repeats: Repeats) -> Added:
    """One pass over the staged rows' FEEDBACK; memory goes with the rows that are added to."""
    sums = _Sums(np.unique(repeats.into))
    if not len(sums.rows):
        return sums.added()
    start = 0
    with pq.ParquetFile(staged) as file:
        for group in range(file.num_row_groups):
            values = file.read_row_group(group, columns=[*FEEDBACK]).to_pandas()[[*FEEDBACK]].to_numpy()
            for from_, to in ((sums.rows, sums.rows), (repeats.again, repeats.into)):
                first, last = np.searchsorted(from_, (start, start + len(values)))
                sums.take(to[first:last], values[from_[first:last] - start])
            start += len(values)
    return sums.added()


class _Sums:
    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._total = np.zeros((2, len(rows)))  # impressions, clicks
        self._told = np.zeros((2, len(rows)), dtype=bool)
        self._dwell = np.full(len(rows), np.nan)
        self._place, self._weight = np.zeros(len(rows)), np.zeros(len(rows))

    def take(self, to: Rows, values: Floats) -> None:
        at = np.searchsorted(self.rows, to)
        for column in range(2):
            told = ~np.isnan(values[:, column])
            np.add.at(self._total[column], at[told], values[told, column])
            self._told[column, at[told]] = True
        np.fmax.at(self._dwell, at, values[:, 2])
        shown, place = np.nan_to_num(values[:, 0], nan=1.0), values[:, 3]
        weight = np.where(np.isnan(place), 0.0, np.maximum(shown, _HARDLY))
        np.add.at(self._place, at, np.nan_to_num(place) * weight)
        np.add.at(self._weight, at, weight)

    def added(self) -> Added:
        position = np.divide(
            self._place, self._weight, out=np.full(len(self.rows), np.nan), where=self._weight > 0
        )
        counts = np.where(self._told, self._total, np.nan)
        return Added(self.rows, np.column_stack([*counts, self._dwell, position]))
