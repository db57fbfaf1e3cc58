"""Rows of a pair that a log has more than once: told apart over keys, then added up.

A log tells of a pair again whenever its query is asked again. In another window that is another row of the
stream. In the same window it is one pair with more requests: impressions and clicks are added, the longest
dwell time stays, and the position is the mean over impressions. So it is in the seed, the gate and the tests,
whose frequencies are compared with those of windows: their rows without a grade add to the one that has it.
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
    twice: Rows  # ascending: they add nothing, are the same row once more, or bear another grade

    @property
    def rows(self) -> Rows:
        return np.concatenate([self.again, self.twice])


def find_repeats(keys: pd.DataFrame, place: Codes, taken: Mask) -> Repeats:
    """`place` (n,): what a pair stands in once, -1 where a row is nowhere; `taken` (n,): the rows that stand
    there, the others only add to one that does.

    The first row with a grade stays, where none has one the first. Equal counts at the same time of a day are
    the same row, exported twice; where the day alone is told they are taken for further requests.
    """
    rows = np.flatnonzero(place != NONE)
    table = pd.DataFrame({"pair": keys["pair"].to_numpy()[rows], "place": place[rows], "row": rows})
    table = table[table.duplicated(["pair", "place"], keep=False)]
    known = keys.iloc[table["row"].to_numpy()]
    table["beside"], table["grade"] = ~taken[table["row"]], known["grade"].to_numpy()
    table["ungraded"], table["said"] = (table["grade"] < 0), known["said"].to_numpy()
    moment = known["timestamp"]
    table["logged"] = known["logged"].to_numpy(bool)
    table["timed"] = ((moment - moment.dt.normalize()) > pd.Timedelta(0)).to_numpy(bool)
    table = table.sort_values(["beside", "ungraded", "row"], kind="stable")
    groups = table.groupby(["pair", "place"], sort=False)
    first = groups[["row", "grade", "beside"]].transform("first")
    same = table["timed"] & table.duplicated(["pair", "place", "said"])
    adds = table["logged"] & ~same & (table["ungraded"] | (table["grade"] == first["grade"]))
    repeated = (first["row"] != table["row"]) & ~first["beside"]
    again = table.assign(first=first["row"])[repeated & adds].sort_values("row")
    twice = table.loc[repeated & ~adds & ~table["beside"], "row"]
    return Repeats(
        again["row"].to_numpy(np.int64),
        again["first"].to_numpy(np.int64),
        np.sort(twice.to_numpy(np.int64)),
    )


def all_but_one(keys: pd.DataFrame, among: Mask, window: Codes) -> Mask:
    """Rows of `among` whose pair stands in another window, too, but for one: the earliest with a grade, where
    none has one the earliest. (n,) bool."""
    rows = np.flatnonzero(among)
    order = np.lexsort((window[rows], keys["grade"].to_numpy()[rows] < 0))
    rows = rows[order]
    others = np.zeros(len(keys), dtype=bool)
    others[rows[pd.Series(keys["pair"].to_numpy()[rows]).duplicated().to_numpy(bool)]] = True
    return others


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
