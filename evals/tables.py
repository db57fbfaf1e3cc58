"""Rounds and evaluations as tables: for a terminal (rich) and for docs (Markdown), from the same cells.

Every measure is shown in points, a hundredth of its unit. A change whose interval holds 0 is "within noise".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from serm.core.records import Decision, Interval
from serm.evals.evaluate import LOWER_IS_BETTER, Evaluation, within_noise
from serm.evals.grades import MEASURES

NOTHING = "–"  # not measured, or not known


@dataclass(frozen=True, slots=True)
class Result:
    """One model on one test, as a table shows it; `change` is its NDCG@4 against frozen, where compared."""

    ndcg: float  # NDCG@4, 0 to 1
    accuracy: float  # 0 to 1
    change: Interval | None = None


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round of the loop. A result is None where its test does not exist (no window follows the last)."""

    round: int
    window: str
    mined: int  # pairs sent to the panel
    labelled: int  # of them kept
    label_accuracy: float | None  # against the truth, where a simulation knows it
    static: Result | None
    evolving: Result | None
    promoted: bool | None  # None: no gate (round 0)
    why: str = ""


@dataclass(frozen=True, slots=True)
class Cells:
    """A table without a form: headers and rows of the same length."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: frozenset[str] = frozenset()  # set to the left, the others to the right


def rounds(rows: Sequence[RoundRow]) -> Cells:
    """The table of a run: what was mined and labelled, what it did to the two tests, and the gate's word."""
    headers = (
        "round",
        "window",
        "mined",
        "labelled",
        "label accuracy",
        "NDCG@4 static",
        "accuracy static",
        "NDCG@4 evolving",
        "accuracy evolving",
        "gate",
        "why",
    )
    found = tuple(
        (
            str(row.round),
            row.window,
            f"{row.mined:,}",
            f"{row.labelled:,}",
            points(row.label_accuracy),
            *_result(row.static),
            *_result(row.evolving),
            NOTHING if row.promoted is None else "promoted" if row.promoted else "rolled back",
            row.why,
        )
        for row in rows
    )
    return Cells(headers, found, frozenset({"window", "gate", "why"}))


def evaluations(
    rows: Mapping[str, Evaluation], changes: Mapping[str, Mapping[str, Interval]] | None = None
) -> Cells:
    """One row a model on one test, every measure beside NDCG, and last "always the commonest grade".

    `changes` holds for some of the models what `compare` found against the model of reference.
    """
    if not rows:
        return Cells(("model",), ())
    names = list(next(iter(rows.values())).measures())
    found = [
        (
            model,
            *(_measure(name, value, (changes or {}).get(model, {}).get(name)) for name, value in measured),
        )
        for model, evaluation in rows.items()
        for measured in [list(evaluation.measures().items())]
    ]
    last = list(rows.values())[-1]
    commonest = [points(last.commonest[name]) if name in MEASURES else NOTHING for name in names]
    found.append((f"always the commonest grade ({last.commonest_grade})", *commonest))
    return Cells(("model", *(_title(name) for name in names)), tuple(found), frozenset({"model"}))


def points(value: float | None) -> str:
    """0.5123 -> "51.2"."""
    return NOTHING if value is None or math.isnan(value) else f"{100 * value:.1f}"


def difference(interval: Interval, *, lower_is_better: bool = False) -> str:
    """A change in points with its interval, and what it amounts to: "+1.2 [0.3, 2.1] better"."""
    if math.isnan(interval.mean):
        return NOTHING
    if math.isnan(interval.low):
        return f"{100 * interval.mean:+.1f} (too few queries for an interval)"
    span = f"{100 * interval.mean:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
    if within_noise(interval):
        return f"{span} within noise"
    return f"{span} {'worse' if (interval.mean > 0) == lower_is_better else 'better'}"


def why(decision: Decision) -> str:
    """The gate's reasons as one text."""
    return "; ".join(decision.reasons)


def markdown(cells: Cells) -> str:
    """A GitHub table, numbers to the right, ending with a line break."""
    rule = ["---" if name in cells.text_columns else "---:" for name in cells.headers]
    lines = [cells.headers, rule, *cells.rows]
    return "".join(f"| {' | '.join(_escaped(cell) for cell in line)} |\n" for line in lines)


def terminal(cells: Cells, title: str = "") -> Table:
    """A rich table, numbers to the right; long texts are folded."""
    table = Table(title=title or None)
    for name in cells.headers:
        text = name in cells.text_columns
        table.add_column(name, justify="left" if text else "right", overflow="fold")
    for row in cells.rows:
        table.add_row(*(cell.replace("[", "\\[") for cell in row))
    return table


def _result(result: Result | None) -> tuple[str, str]:
    if result is None:
        return NOTHING, NOTHING
    change = f" ({difference(result.change)})" if result.change else ""
    return points(result.ndcg) + change, points(result.accuracy)


def _measure(name: str, value: float, change: Interval | None) -> str:
    shown = points(value)
    if change is None:
        return shown
    return f"{shown} ({difference(change, lower_is_better=name in LOWER_IS_BETTER)})"


def _title(name: str) -> str:
    return {"qwk": "QWK", "ece": "ECE", "brier": "Brier"}.get(
        name, name.replace("ndcg", "NDCG").replace("_", " ")
    )


def _escaped(cell: str) -> str:
    return " ".join(cell.replace("|", "\\|").split())
