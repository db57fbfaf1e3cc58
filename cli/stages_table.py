"""How the labels of each round came about: a row a stage, with what it kept and what it took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.table import Table

from serm.cli.format import money
from serm.cli.rounds import Report

_HEADINGS = ("pairs", "kept", "of all", "right", "calls", "tokens", "cost", "time")


def stages_table(reports: Sequence[Report]) -> Table | None:
    """Pairs that reached a stage, those that it kept and their share of the sample, how many of these are
    right, calls of judges, tokens, money; for people the time they took. None where no round has labels.

    Fits into 80 columns.
    """
    rows = [(report["round"], stage) for report in reports for stage in report.get("stages") or ()]
    if not rows:
        return None
    title = "How the labels came about"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("round", justify="right")
    table.add_column("stage", no_wrap=True)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    before = None
    for number, stage in rows:
        table.add_row("" if number == before else str(number), *_cells(stage))
        before = number
    return table


def worth_showing(reports: Sequence[Report]) -> bool:
    """Whether there was more to it than a vote of judges that cost nothing."""
    stages = [stage for report in reports for stage in report.get("stages") or ()]
    return any(stage["stage"] != "panel" or stage["tokens"] or stage["cost"] for stage in stages)


def _cells(stage: dict[str, Any]) -> Iterator[str]:
    yield stage.get("rule") or stage["stage"]  # the panel by its rule
    yield f"{stage['pairs']:,}"
    yield f"{stage['kept']:,}" if "kept" in stage else ""
    yield f"{stage['share']:.1%}" if "share" in stage else ""
    right = stage.get("right")
    yield "" if "kept" not in stage else "-" if right is None else f"{right:.1%}"
    yield f"{stage['calls']:,}" if stage["calls"] else ""
    yield _thousands(stage["tokens"]) if stage["tokens"] else ""
    yield money(stage["cost"]) if stage["cost"] else ""
    yield f"{stage['seconds'] / 60:.1f} min" if stage.get("seconds") else ""


def _thousands(number: int) -> str:
    """850, 12k, 3,400k: tokens are many."""
    return f"{number:,}" if number < 10_000 else f"{number / 1_000:,.0f}k"
