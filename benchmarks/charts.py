"""Two charts as SVG text: curves with bands, and a forest of intervals. Colours are the page's CSS variables,
so that they follow dark mode and print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate
from textwrap import wrap

from serm.core.records import Interval
from serm.evals.tables import difference

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 48, 26, 14, 40
ROW = 38  # height of a forest's row whose name takes two lines, or one
LABEL = 220  # width of its names
NAME_LENGTH, NAME_LINE = 26, 16  # characters of a line of them, and its height
NAME_ROOM = 26  # width of a round's number: where there are more rounds, not all are named


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: a point an x, with an interval where there is one. `style` is a CSS class; without one of its
    own ("other") a line has no band. Points without a value (NaN) are left out."""

    name: str
    points: Sequence[tuple[float, Interval]]
    style: str = "other"


def curves(series: Sequence[Curve], names: Sequence[str], *, unit: str) -> str:
    """Lines over the positions 0, 1, ... that `names` label, with 0 marked; values are shown times 100."""
    values = [100 * v for line in series for _, p in line.points for v in _bounds(p)]
    if not values:
        return ""
    low, high = _nice(min(0.0, *values), max(0.0, *values))
    span = max(1, len(names) - 1)

    def x(position: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * position / span

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low))

    parts = [_open(WIDTH, HEIGHT, f"{unit} by round")]
    for tick in _ticks(low, high):
        parts.append(
            f'<line class="{"grid" if tick else "zero"}" x1="{LEFT}" x2="{WIDTH - RIGHT}" '
            f'y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    every = math.ceil(NAME_ROOM * len(names) / (WIDTH - LEFT - RIGHT))
    for position, name in list(enumerate(names))[::every]:
        parts.append(
            f'<text class="tick" x="{x(position):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">'
            f"{escape(name)}</text>"
        )
    for line in series:
        banded = [(p, i) for p, i in line.points if not math.isnan(i.low)]
        if line.style != "other" and len(banded) > 1:
            upper = [f"{x(p):.1f},{y(100 * i.high):.1f}" for p, i in banded]
            lower = [f"{x(p):.1f},{y(100 * i.low):.1f}" for p, i in reversed(banded)]
            parts.append(f'<polygon class="band {line.style}" points="{" ".join([*upper, *lower])}"/>')
    for line in series:
        known = [(p, i) for p, i in line.points if not math.isnan(i.mean)]
        path = " ".join(f"{x(p):.1f},{y(100 * i.mean):.1f}" for p, i in known)
        parts.append(
            f'<polyline class="line {line.style}" points="{path}">'
            f"<title>{escape(line.name)}</title></polyline>"
        )
        parts += [
            f'<circle class="dot {line.style}" cx="{x(p):.1f}" cy="{y(100 * i.mean):.1f}" r="3">'
            f"<title>{escape(line.name)}: {difference(i)}</title></circle>"
            for p, i in known
        ]
    return "".join([*parts, "</svg>"])


def forest(rows: Sequence[tuple[str, Interval]], *, unit: str) -> str:
    """A row a name: its mean and interval in points, on an axis with 0 marked."""
    known = [(name, interval) for name, interval in rows if not math.isnan(interval.mean)]
    if not known:
        return ""
    values = [0.0, *(100 * v for _, interval in known for v in _bounds(interval))]
    low, high = _nice(min(values), max(values))
    rows_of = [max(ROW, NAME_LINE * len(_lines(name)) + 6) for name, _ in known]
    height = TOP + sum(rows_of) + BOTTOM

    def x(value: float) -> float:
        return LABEL + (WIDTH - LABEL - RIGHT) * (value - low) / (high - low)

    parts = [_open(WIDTH, height, unit)]
    for tick in _ticks(low, high):
        style = "zero" if tick == 0 else "grid"
        parts.append(
            f'<line class="{style}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
        )
        parts.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{height - BOTTOM + 20}" text-anchor="middle">'
            f"{tick:+g}</text>"
        )
    tops = accumulate(rows_of, initial=TOP)
    for (name, interval), top, room in zip(known, tops, rows_of, strict=False):
        middle = top + room / 2
        sure = "" if interval.low <= 0 <= interval.high or math.isnan(interval.low) else " sure"
        bounds = _bounds(interval)
        parts.append(
            f"{_name(name, middle)}"
            f'<line class="whisker{sure}" x1="{x(100 * min(bounds)):.1f}" x2="{x(100 * max(bounds)):.1f}" '
            f'y1="{middle:.1f}" y2="{middle:.1f}"/>'
            f'<circle class="mean{sure}" cx="{x(100 * interval.mean):.1f}" cy="{middle:.1f}" r="4">'
            f"<title>{escape(name)}: {difference(interval)}</title></circle>"
        )
    return "".join([*parts, "</svg>"])


def _name(name: str, middle: float) -> str:
    """A row's name to the left of its whisker, in several lines where it is long."""
    lines = _lines(name)
    top = middle + 4 - NAME_LINE * (len(lines) - 1) / 2
    return "".join(
        f'<text class="name" x="{LABEL - 10}" y="{top + NAME_LINE * number:.1f}" text-anchor="end">'
        f"{escape(line)}</text>"
        for number, line in enumerate(lines)
    )


def _lines(name: str) -> list[str]:
    return wrap(name, NAME_LENGTH) or [name]


def _open(width: int, height: int, title: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" '
        'xmlns="http://www.w3.org/2000/svg">'
    )


def _bounds(interval: Interval) -> tuple[float, ...]:
    found = (interval.low, interval.mean, interval.high)
    return tuple(value for value in found if not math.isnan(value))


def _nice(low: float, high: float) -> tuple[float, float]:
    """Bounds on whole steps around what is shown."""
    step = _step(low, high)
    first, last = step * math.floor(low / step), step * math.ceil(high / step)
    return (first, last) if last > first else (first - step, last + step)


def _ticks(low: float, high: float) -> list[float]:
    step = _step(low, high)
    return [round(low + step * number, 10) for number in range(round((high - low) / step) + 1)]


def _step(low: float, high: float) -> float:
    """1, 2 or 5 times a power of ten: about five steps."""
    rough = max(high - low, 0.5) / 5
    power = 10 ** math.floor(math.log10(rough))
    return next(float(f * power) for f in (1, 2, 5, 10) if f * power >= rough)
