"""Figures of reports as text, and the smallest change that stands under each table of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from serm.core.records import Interval
from serm.evals.seeds import smallest_seen
from serm.evals.tables import NOTHING, points

SMALLEST = "smallest change seen"
NONE = Interval(math.nan, math.nan, math.nan, 0, math.nan)
"""Where there is nothing to tell."""


def bounded(interval: Interval, low: float = 0.0, high: float = 1.0) -> Interval:
    """A level whose interval ends where its measure does: what seeds add may stretch it beyond."""
    return replace(interval, low=max(interval.low, low), high=min(interval.high, high))


def share(found: Interval) -> str:
    """A share with its interval; nothing where it is not known, as of a slice without queries."""
    if not math.isfinite(found.mean):
        return NOTHING
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return f"{share_of(found.mean)} (too few queries for an interval)"
    return f"{share_of(found.mean)} [{share_of(found.low)}, {share_of(found.high)}]"


def share_of(value: float) -> str:
    return f"{round(100 * value) + 0:d}%" if math.isfinite(value) else NOTHING


def smallest(rows: Sequence[Sequence[Interval]], told: Callable[[float], str] = points) -> list[str]:
    """Of each column what so many queries and seeds show with a power of 80%: the median of its rows.

    A row without an interval does not count, nor one without a width: the same model twice shows nothing.
    """
    return [told(_median(column)) for column in zip(*rows, strict=True)]


def _median(column: Sequence[Interval]) -> float:
    seen = [smallest_seen(interval) for interval in column if interval.high > interval.low]
    return float(np.median(seen)) if seen else math.nan
