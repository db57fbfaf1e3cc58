"""What `serm annotate` tells at its end: by judge what it did and took, and what became of the pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from serm.cli.format import count, money
from serm.cli.health import fell_back, warnings

if TYPE_CHECKING:
    from serm.graphs import Annotation
    from serm.storage.labels_io import Written

Counts = Mapping[str, Any]


def tell(console: Console, found: Annotation, written: Written, out: Path, record: Path | None) -> None:
    """The table of judges and a line for everything that took place."""
    console.print(judges_table(found.counts))
    for line in lines(found, written, out, record):
        console.print(line, markup=False, highlight=False)


def judges_table(counts: Counts) -> Table:
    """A row a judge. Fits into 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("judge", overflow="fold")
    for heading in ("pairs", "asked", "failed", "calls", "tokens", "cost"):
        table.add_column(heading, justify="right")
    for name, told in counts["judges"].items():
        failed = sum(told["failures"].values())
        cells = (told["pairs"], told["judgments"], failed, told["calls"], told["tokens"])
        table.add_row(
            Text(name), *(f"{cell:,}" for cell in cells), money(told["cost"]) if told["cost"] else "-"
        )
    if counts["simulated_judges"]:
        names = ", ".join(counts["simulated_judges"])
        table.caption = Text(f"SIMULATED judges: {names}", style="bold red")
        table.caption_justify = "left"
    return table


def lines(found: Annotation, written: Written, out: Path, record: Path | None) -> Iterator[str]:
    """What became of the pairs, what was saved, what the stages took, where it all is."""
    counts = found.counts
    yield _outcomes(counts)
    yield from _failures(counts)
    yield from warnings({name: told["outside"] for name, told in counts["judges"].items()})
    yield from fell_back(counts["fell_back"])
    saved = counts["saved"]
    if saved["share"]:
        within, across = f"{saved['within']:,} as a judge's", f"{saved['across']:,} as a pair's"
        yield (
            f"Calls saved: {saved['share']:.1%} of {saved['full']:,}: {within} majority stood, {across} "
            "outcome stood."
        )
    if calibration := counts["calibration"]:
        yield f"Calibration: {count(calibration['pairs'], 'human-graded pair')}, {_took(calibration)}."
        for jury in calibration["juries"]:
            if jury["why"]:
                yield f"  {', '.join(jury['judges'])} go by the rule {jury['rule']}: {jury['why']}"
    if debate := counts["debate"]:
        pairs = f"{count(debate['pairs'], 'pair')} ({debate['share']:.1%}), {debate['kept']:,} kept"
        yield f"Debate: {pairs}, {_took(debate)}."
    yield from _accounts(counts)
    for what in ("call", "turn"):  # of judges, of agents
        if lost := counts[f"lost_{what}s"]:
            yield f"{count(lost, what)} in flight when a process was killed: counted as paid for, and lost."
    if found.over_budget:
        yield f"Not all was asked: {found.over_budget}"
        yield "Raise `budget.currency`, and the same command goes on from here."
    yield f"Labels: {out}, {count(written.rows, 'row')}."
    if written.dropped_columns:
        yield (
            f"TREC qrels hold query, document and grade: {', '.join(written.dropped_columns)} are left out, "
            f"and {count(written.dropped_rows, 'pair')} without a grade."
        )
    if record is not None:
        yield f"Judgments: {record}, {count(len(found.judgments), 'row')}; `replay:{record}#JUDGE` reads it."


def _outcomes(counts: Counts) -> str:
    outcomes = dict(counts["outcomes"])
    dropped, failed = outcomes.pop("dropped", 0), outcomes.pop("failed", 0)
    kept = " and ".join(f"{number:,} {name}" for name, number in sorted(outcomes.items())) or "0 kept"
    return f"{count(counts['pairs'], 'pair')}: {kept}, {dropped:,} dropped, {failed:,} failed."


def _failures(counts: Counts) -> Iterator[str]:
    for name, told in counts["judges"].items():
        kinds = [f"{number:,} {kind}" for kind, number in told["failures"].items()]
        if told["over_budget"]:
            kinds.append(f"{told['over_budget']:,} not asked for want of money")
        if kinds:
            yield f"Failures of {name}: {', '.join(kinds)}. `--retry-failed` asks them again."


def _accounts(counts: Counts) -> Iterator[str]:
    """What each judge that made calls has taken in all: failed and repeated ones, of earlier runs too."""
    for told in counts["accounts"]:
        if told["requests"]:
            tokens = told["tokens_in"] + told["tokens_out"]
            cost = f", cost {money(told['cost'])}" if told["cost"] else ""
            asked = f"{count(told['requests'], 'request')}, {count(tokens, 'token')}{cost}"
            yield f"Account of {told['judge']}, failed and repeated calls among it: {asked}."


def _took(told: Counts) -> str:
    cost = f", cost {money(told['cost'])}" if told["cost"] else ""
    return f"{count(told['calls'], 'call')}, {count(told['tokens'], 'token')}{cost}"
