"""Figures as text and tables as Markdown.

Every measure is shown in points, a hundredth of its unit. A change whose interval holds 0 is "within noise".
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from serm.core.records import Interval
from serm.evals.evaluate import within_noise

NOTHING = "–"  # not measured, or not known
_VERDICT: Final = re.compile(r"\] (better|worse|within noise)\b")


@dataclass(frozen=True, slots=True)
class Cells:
    """A table without a form: headers and rows of the same length."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: frozenset[str] = frozenset()  # set to the left, the others to the right


def points(value: float | None) -> str:
    """0.5123 -> "51.2"."""
    return NOTHING if value is None or math.isnan(value) else f"{100 * value:.1f}"


def estimate(interval: Interval) -> str:
    """A level in points with its interval: "57.8 [55.1, 60.2]"."""
    if math.isnan(interval.mean):
        return NOTHING
    if math.isnan(interval.low):
        return f"{100 * interval.mean:.1f} (too few queries for an interval)"
    return f"{100 * interval.mean:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def change(interval: Interval) -> str:
    """A change in points with its interval and no word on it, where the interval cannot bear one."""
    if math.isnan(interval.low):
        return difference(interval)
    return f"{100 * interval.mean:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def difference(interval: Interval, *, lower_is_better: bool = False) -> str:
    """A change in points with its interval, and what it amounts to: "+1.2 [+0.3, +2.1] better". Where a bound
    would read 0 and the interval does not hold it, all have so many digits more; a model and itself are
    "0.0 the same"."""
    if math.isnan(interval.mean):
        return NOTHING
    if math.isnan(interval.low):
        return f"{100 * interval.mean:+.1f} (too few queries for an interval)"
    if interval.low == interval.mean == interval.high == 0:
        return "0.0 the same"
    noise = within_noise(interval)
    nearest = 100 * min(abs(interval.low), abs(interval.high))
    digits = 1 if noise else next((n for n in range(1, 6) if round(nearest, n)), 6)
    mean, low, high = (f"{100 * value:+.{digits}f}" for value in (interval.mean, interval.low, interval.high))
    span = f"{mean} [{low}, {high}]"
    if noise:
        return f"{span} within noise"
    return f"{span} {'worse' if (interval.mean > 0) == lower_is_better else 'better'}"


def verdict(cell: str) -> str:
    """What a cell that `difference` wrote amounts to: better, worse or within noise; "" of any other."""
    found = _VERDICT.search(cell)
    return found[1] if found else ""


def markdown(cells: Cells) -> str:
    """A GitHub table, numbers to the right, ending with a line break."""
    rule = ["---" if name in cells.text_columns else "---:" for name in cells.headers]
    lines = [cells.headers, rule, *cells.rows]
    return "".join(f"| {' | '.join(_escaped(cell) for cell in line)} |\n" for line in lines)


def _escaped(cell: str) -> str:
    return " ".join(cell.replace("|", "\\|").split())
