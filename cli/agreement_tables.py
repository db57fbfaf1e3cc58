"""The tables of `serm agreement`, each within 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from serm.cli.format import money
from serm.core.records import GRADES, Interval
from serm.evals.agreement import AgreementReport
from serm.evals.rater import Agreement

NOTHING = "-"
_MEASURES = {
    "accuracy": "acc.",
    "kappa": "kappa",
    "binary_kappa": "kappa\n>= 2",
    "qwk": "kappa\nquadr.",
    "balanced_accuracy": "bal.\nacc.",
}


def tables(report: AgreementReport) -> Iterator[Table | Text]:
    """All there is to say, the panel first."""
    yield Text(
        f"{report.labels:,} labels, {report.kept:,} kept; of {report.matched:,} there is a human grade."
    )
    raters = [report.panel, *report.judges]
    yield _measures(raters)
    if report.outcomes:
        yield _outcomes(report)
    for rater in raters:
        yield _by_grade(rater)
    if report.cost:
        each = _each(report.cost_per_kept)
        yield Text(f"Cost: {money(report.cost)}, dropped and failed pairs with it: {each} a kept label.")


def _measures(raters: list[Agreement]) -> Table:
    level = raters[0].measures["accuracy"].level
    title = f"Against people, with {level:.0%} intervals over queries"
    table = _table(title)
    table.add_column("", overflow="fold")
    for heading in ("graded", *_MEASURES.values(), "ECE"):
        table.add_column(heading, justify="right")
    for rater in raters:
        graded = f"{rater.graded:,}\n{rater.coverage:.0%}" if rater.pairs else NOTHING
        cells = [_interval(rater.measures[name]) for name in _MEASURES]
        table.add_row(Text(rater.name), graded, *cells, _number(rater.ece))
    return table


def _outcomes(report: AgreementReport) -> Table:
    table = _table("How labels came about")
    table.add_column("outcome")
    for heading in ("labels", "share", "with human grade", "right", "cost"):
        table.add_column(heading, justify="right")
    for item in report.outcomes:
        table.add_row(
            item.outcome,
            f"{item.labels:,}",
            f"{item.share:.1%}",
            f"{item.graded:,}",
            NOTHING if math.isnan(item.accuracy) else f"{item.accuracy:.1%}",
            money(item.cost) if item.cost else NOTHING,
        )
    return table


def _by_grade(rater: Agreement) -> Table:
    """The confusion matrix with recall and coverage beside it and precision under it."""
    table = _table(f"{rater.name}: people's grade down, its grade across")
    table.add_column("")
    for heading in (*map(str, GRADES), "none", "recall", "coverage"):
        table.add_column(heading, justify="right")
    for of, row in zip(rater.grades, rater.confusion, strict=True):
        table.add_row(
            str(of.grade),
            *(f"{cell:,}" for cell in row),
            f"{of.human - sum(row):,}",
            _number(of.recall),
            _number(of.coverage),
        )
    table.add_row("precision", *(_number(of.precision) for of in rater.grades), "", "", "")
    return table


def _table(title: str) -> Table:
    return Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _interval(interval: Interval) -> str:
    if math.isnan(interval.low):
        return _number(interval.mean)
    return f"{_number(interval.mean)}\n{_short(interval.low)}-{_short(interval.high)}"


def _number(value: float | None) -> str:
    return NOTHING if value is None or math.isnan(value) else f"{value:.3f}"


def _short(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1)


def _each(amount: float) -> str:
    return NOTHING if math.isnan(amount) else f"{amount:,.3g}"
