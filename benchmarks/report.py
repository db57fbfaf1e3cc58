"""What a benchmark leaves: results.parquet (a row a query), results.md, and the report people read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from serm.benchmarks.arms import LEVEL, Results
from serm.benchmarks.captions import CAPTIONS
from serm.benchmarks.collect import collect, reports, simulated_in
from serm.benchmarks.confusion import one_table
from serm.benchmarks.html_report import html_report
from serm.benchmarks.protocol import Protocol
from serm.benchmarks.report_tables import ReportTables
from serm.benchmarks.run_record import where_and_when
from serm.benchmarks.runs import Run
from serm.evals.tables import Cells, markdown
from serm.storage.artifacts import write_file


def write_report(protocol: Protocol, out: Path, runs: Sequence[Run]) -> list[Path]:
    """Write all files over the runs that are done, what was measured first; returns their paths."""
    table = collect(runs)
    rows = write_file(out / "results.parquet", lambda path: table.to_parquet(path, index=False))
    results = Results(protocol, table, runs)
    tables = ReportTables(results, out)
    text = results_markdown(tables)
    page = html_report(tables, made_by(results), simulated_judges(results))
    return [
        write_file(out / "report.html", lambda path: _write(path, page)),
        rows,
        write_file(out / "results.md", lambda path: _write(path, text)),
    ]


def results_markdown(tables: ReportTables) -> str:
    """The tables, and what made them: command, date, seeds, machine, and which judges were simulated."""
    results, protocol = tables.results, tables.results.protocol
    simulated = simulated_judges(results)
    head = f"# {protocol.name}\n\n{made_by(results)}\n"
    if simulated:
        head += f"\nSimulated judges: {', '.join(simulated)}. Their labels are made from the human grades.\n"
    head += "".join(f"\n{notice}\n" for notice in tables.notices)
    notes = [f"- {name}: {note}" for name, note in results.notes]
    parts = [
        head,
        "\n".join(notes) + "\n" if notes else "",
        "**After the last round**, in points, differences paired over queries and seeds with their "
        f"{LEVEL:.0%} bootstrap interval. {CAPTIONS['free']} {CAPTIONS['under']}\n\n"
        + markdown(tables.last_round),
        *(f"{title}\n\n{markdown(cells)}" for title, cells in _further(tables) if cells.rows),
    ]
    return "\n".join(part for part in parts if part)


def _further(tables: ReportTables) -> Iterator[tuple[str, Cells]]:
    """Tables that are there where the data has what they show."""
    ours = tables.results.ours
    yield f"**Parts left out, or done otherwise**. {CAPTIONS['ablations']}", tables.ablations
    yield f"**Other measures**. {CAPTIONS['measures']}", tables.measures
    yield f"**Share of what true grades give**. {CAPTIONS['of_true_grades']}", tables.of_true_grades
    yield f"**On windows before they are used**. {CAPTIONS['before_use']}", tables.before_use
    yield f"**Round by round**. {CAPTIONS['by_round']}", tables.by_round
    yield f"**By language**. {CAPTIONS['sliced']}", tables.languages
    yield f"**By how often a query is asked**. {CAPTIONS['sliced']}", tables.strata
    yield (
        "**Gap closed**: what frozen has on the static test less what it has on the last one, and how much "
        "of that each arm makes good",
        tables.gaps,
    )
    yield (
        "**Gap closed in the round of each drift**: on each window's own test, after its round and no later",
        tables.gaps_by_window,
    )
    yield f"**What drift still costs, in the round of each drift**. {CAPTIONS['gaps_left']}", tables.gaps_left
    yield (
        "**RnDCG**, the relative drop from the static test to each window before anything of it is used",
        tables.drops,
    )
    yield f"**For every 1,000 pairs judged**. {CAPTIONS['per_thousand']}", tables.per_thousand
    yield f"**Drift**, as the drift agent of {ours} saw it", tables.drift
    yield f"**Judges against human grades**, pairs of {ours}", one_table(tables.confusions)
    yield f"**What it took**. {CAPTIONS['costs']}", tables.costs


def made_by(results: Results) -> str:
    """The command, the seeds, and when and on what machines the runs ended."""
    seeds = ", ".join(map(str, results.seeds))
    return f"serm benchmark {results.protocol.called}, seeds {seeds}, {where_and_when(results.done)}."


def simulated_judges(results: Results) -> list[str]:
    """Judges of any run whose answers were simulated."""
    told = (item for run in results.done for item in reports(run))
    return sorted(frozenset[str]().union(*map(simulated_in, told)))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
