"""Cuts the stream into windows: by rules, by time or by size. Pure functions over keys (see assign.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.errors import ConfigError
from serm.core.settings_data import WindowSettings
from serm.storage.assign import NONE, Codes, Mask, assign_windows

SMALL_SET_WINDOWS = 4  # windows that `auto` makes of a set smaller than so many full ones; chosen
SMALLEST_WINDOW = 20  # pairs; chosen
"""`auto` cuts by time where the median period has as many, of two in the middle the smaller one."""

AHEAD: Final = np.timedelta64(1, "D")
"""Further than clocks and time zones differ."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The windows' names in order, and for every row its window's index (-1: none)."""

    names: tuple[str, ...]
    of_row: Codes  # (n,)


def cut_windows(keys: pd.DataFrame, settings: WindowSettings, stream: Mask, gate: Mask) -> Cut:
    """Cut stream rows into windows, and give gate rows the window that they open with.

    Windows without a stream row are left out, and what remains is numbered anew.
    """
    return keep_windows(_WAYS[settings.by](keys, settings, stream, gate), stream)


def held_back(
    keys: pd.DataFrame, settings: WindowSettings, stream: Mask, now: np.datetime64 | None = None
) -> Mask:
    """Rows that wait until the stream's newest period is over: those dated in it, or behind it. (n,) bool.

    It is over once a stream row is dated behind its end. A row dated more than `AHEAD` after `now` (None:
    today's) has a wrong date and ends no period; it waits. Where all are, the log has a time of its own, a
    simulated one, and they count. None waits unless `open: hold` says so.
    """
    moments = keys["timestamp"].to_numpy("datetime64[us]")
    dated = ~np.isnat(moments) & stream
    if settings.open == "use" or not dated.any():
        return np.zeros(len(keys), dtype=bool)
    origin, step = _origin(moments[dated]), _period(settings.period)
    told = dated & (moments <= (_today() if now is None else now) + AHEAD)
    dated = told if told.any() else dated
    newest = (moments[dated].max() - origin) // step
    return np.asarray(moments >= origin + newest * step, dtype=bool)  # NaT is not


def _today() -> np.datetime64:
    return np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")


def keep_windows(cut: Cut, rows: Mask) -> Cut:
    """Leave out the windows that hold none of `rows`, and number the others anew."""
    alive = sorted(set(np.unique(cut.of_row[rows]).tolist()) - {NONE})
    renumber = np.full(len(cut.names) + 1, NONE, dtype=np.int32)  # the last entry is for -1
    renumber[alive] = np.arange(len(alive), dtype=np.int32)
    return Cut(tuple(cut.names[index] for index in alive), renumber[cut.of_row])


def _by_rules(keys: pd.DataFrame, settings: WindowSettings, stream: Mask, gate: Mask) -> Cut:
    names = tuple(rule.name for rule in settings.rules)
    return Cut(names, assign_windows(keys, settings.rules, stream | gate))


def _by_time(keys: pd.DataFrame, settings: WindowSettings, stream: Mask, gate: Mask) -> Cut:
    """Periods counted from the stream's first moment. A gate row opens with the last that has begun."""
    moments = keys["timestamp"].to_numpy("datetime64[us]")
    dated = ~np.isnat(moments)
    of_row = np.full(len(keys), NONE, dtype=np.int32)
    if not (dated & stream).any():
        return Cut((), of_row)
    origin = _origin(moments[dated & stream])
    step = _period(settings.period)
    starts, index = np.unique((moments[dated & stream] - origin) // step, return_inverse=True)
    of_row[dated & stream] = index
    late = (moments[dated & gate] - origin) // step
    of_row[dated & gate] = np.searchsorted(starts, late, side="right") - 1
    names = tuple(_moment_name(origin + start * step, step) for start in starts)
    return Cut(names, of_row)


def _origin(moments: NDArray[np.datetime64]) -> np.datetime64:
    """The day of the first of some moments (n,), from which periods count."""
    first: np.datetime64 = moments.min().astype("datetime64[D]").astype("datetime64[us]")
    return first


def _by_size(keys: pd.DataFrame, settings: WindowSettings, stream: Mask, gate: Mask) -> Cut:
    return _sized(keys, settings.pairs, stream, gate)


def _auto(keys: pd.DataFrame, settings: WindowSettings, stream: Mask, gate: Mask) -> Cut:
    if settings.rules:
        return _by_rules(keys, settings, stream, gate)
    if keys["timestamp"].notna().to_numpy(bool)[stream].all():
        cut = _by_time(keys, settings, stream, gate)
        table = pd.DataFrame({"pair": keys["pair"].to_numpy()[stream], "window": cut.of_row[stream]})
        sizes = np.bincount(table.drop_duplicates()["window"])
        if len(cut.names) > 1 and np.sort(sizes)[(len(sizes) - 1) // 2] >= SMALLEST_WINDOW:
            return cut
    total = keys["pair"][stream].nunique()
    if total > settings.pairs * (SMALL_SET_WINDOWS - 1):
        return _sized(keys, settings.pairs, stream, gate)
    return _sized(keys, max(1, -(-total // SMALL_SET_WINDOWS)), stream, gate, equal=True)


def _sized(keys: pd.DataFrame, pairs: int, stream: Mask, gate: Mask, *, equal: bool = False) -> Cut:
    """Whole queries in the order of their first moment, then of their first row.

    A window closes before the query that would make it larger than `pairs`; with `equal`, the boundaries
    stand at the queries nearest to multiples of `pairs`.
    """
    rows = np.flatnonzero(stream | gate)
    codes = keys["query_id"].cat.codes.to_numpy()[rows]
    table = pd.DataFrame(
        {
            "query": codes,
            "moment": keys["timestamp"].to_numpy("datetime64[us]")[rows],
            "row": rows,
            "stream": stream[rows],
            "pair": keys["pair"].to_numpy()[rows],
        }
    )
    table["stream"] &= ~table.duplicated(["pair", "stream"])  # a pair that is logged again is one pair
    queries = table.groupby("query").agg(
        moment=("moment", "min"), row=("row", "min"), pairs=("stream", "sum")
    )
    queries = queries.sort_values(["moment", "row"], na_position="last")
    sizes = queries["pairs"].to_numpy(np.int64)
    windows = _equal(sizes, pairs) if equal else _greedy(sizes, pairs)
    of_query = np.full(len(keys["query_id"].cat.categories), NONE, dtype=np.int32)
    of_query[queries.index.to_numpy()] = windows
    of_row = np.full(len(keys), NONE, dtype=np.int32)
    of_row[rows] = of_query[codes]
    count = int(windows.max()) + 1 if len(windows) else 0
    return Cut(tuple(f"w{index + 1:03d}" for index in range(count)), of_row)


def _greedy(sizes: np.ndarray[tuple[int], np.dtype[np.int64]], pairs: int) -> Codes:
    windows = np.zeros(len(sizes), dtype=np.int32)
    window = filled = 0
    for index, size in enumerate(sizes.tolist()):
        if size and filled and filled + size > pairs:
            window, filled = window + 1, 0
        windows[index], filled = window, filled + size
    return windows


def _equal(sizes: np.ndarray[tuple[int], np.dtype[np.int64]], pairs: int) -> Codes:
    middles = np.cumsum(sizes) - sizes / 2
    last = max(0, -(-int(sizes.sum()) // pairs) - 1)
    return np.minimum(middles // pairs, last).astype(np.int32)


def _period(text: str) -> np.timedelta64:
    remedy = "Write one like 30D, 12h or 1D."
    try:
        period = pd.Timedelta(text)
    except ValueError as error:
        raise ConfigError(f"data.windows.period: `{text}` is no duration.", remedy) from error
    if text.strip().isdecimal():  # which pandas takes for nanoseconds
        raise ConfigError(f"data.windows.period: `{text}` has no unit.", f"Write {text.strip()}D for days.")
    if not period >= pd.Timedelta(1, "s"):
        raise ConfigError(f"data.windows.period: `{text}` is shorter than a second.", remedy)
    return np.timedelta64(int(period / pd.Timedelta(1, "us")), "us")


def _moment_name(moment: np.datetime64, step: np.timedelta64) -> str:
    whole_days = step % np.timedelta64(1, "D") == np.timedelta64(0)
    return str(np.datetime_as_string(moment, unit="D" if whole_days else "s"))


_WAYS: dict[str, Callable[[pd.DataFrame, WindowSettings, Mask, Mask], Cut]] = {
    "auto": _auto,
    "rules": _by_rules,
    "time": _by_time,
    "size": _by_size,
}
