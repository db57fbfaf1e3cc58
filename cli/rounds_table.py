"""The table at the end of a run: a row a round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from serm.cli.rounds import Report
from serm.core.settings_data import EVOLVING

_VERDICTS = {"promoted": ("promoted", "green"), "rolled_back": ("rolled back", "yellow")}


def rounds_table(reports: Sequence[Report]) -> Table:
    """Mined, labelled, label accuracy, NDCG@4 and accuracy on the static and the evolving test, the verdict.

    Figures are those of the model in use after the round, and under them what it gained on the frozen one.
    Fits into 80 columns.
    """
    title = "The model in use after each round, and what it gained on the frozen one"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("round\nwindow", overflow="fold")
    measured = [f"{name}\n{test}" for name in ("NDCG@4", "acc.") for test in ("static", "evolv.")]
    for heading in ("mined", "labels\nkept", "labels\nright", *measured):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for report in reports:
        table.add_row(*_cells(report))
    simulated = sorted({name for report in reports for name in report.get("simulated_judges") or ()})
    if simulated:
        table.caption = Text(f"Labels are of SIMULATED judges: {', '.join(simulated)}", style="bold red")
        table.caption_justify = "left"
    return table


def verdicts(reports: Sequence[Report]) -> Iterator[Text]:
    """Why each round ended as it did: the gate's own reasons."""
    for report in reports:
        decision = report.get("decision")
        if decision:
            name, style = _VERDICTS.get(report.get("verdict", ""), ("undecided", ""))
            line = Text(f"Round {report['round']} ").append(name, style=style)
            yield line.append(f": {'; '.join(decision['reasons'])}.")


def failures(reports: Sequence[Report]) -> Iterator[str]:
    """A line for each round in which pairs have no label because judges failed: whose, and of which kind."""
    for report in reports:
        failed = ((report.get("counts") or {}).get("outcomes") or {}).get("failed", 0)
        if failed:
            kinds = [
                f"{name} {number:,} {kind}"
                for name, told in (report.get("failures") or {}).items()
                for kind, number in told.items()
            ]
            whose = f" Failures: {', '.join(kinds)}." if kinds else ""
            yield (
                f"Round {report['round']}: {failed:,} of {report['counts']['mined']:,} pairs have no label, "
                f"as judges failed on them.{whose}"
            )


def static_test(report: Report) -> str | None:
    """The name of the static test: the one that is marked so, else the first."""
    named = report.get("static_test")
    tests = [name for name in report.get("evaluations", {}) if name != EVOLVING]
    return str(named) if named else (tests[0] if tests else None)


def _cells(report: Report) -> Iterator[Text | str]:
    window = (report.get("window") or {}).get("name", "")
    yield Text(f"{report['round']}\n{window or 'before'}")
    counts = report.get("counts") or {}
    yield _number(counts.get("mined"))
    yield _number(counts.get("labelled"))
    labels = report.get("label_accuracy")
    yield f"{labels['accuracy']:.1%}" if labels else "-"
    static = static_test(report)
    for measure in ("ndcg@4", "accuracy"):
        for name in (static, EVOLVING):
            yield _measure(report, name, measure)
    name, style = _VERDICTS.get(report.get("verdict", ""), ("", ""))
    yield Text(name, style=style)


def _measure(report: Report, name: str | None, measure: str) -> str:
    table: dict[str, Any] = report.get("evaluations", {}).get(name or "", {})
    value = (table.get("champion") or {}).get(measure)
    if value is None:
        return "-"
    before = (table.get("frozen") or {}).get(measure)
    gain = f"\n{value - before:+.3f}" if before is not None and report["round"] else ""
    return f"{value:.3f}{gain}"


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "-"
