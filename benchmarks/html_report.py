"""The report people read: one HTML file that needs nothing else, on a phone, in print and in the dark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from serm.benchmarks.arms import LEVEL, RESAMPLES, Results
from serm.benchmarks.charts import Curve, curves, forest
from serm.benchmarks.collect import reports
from serm.benchmarks.report_pairs import pair_stories
from serm.benchmarks.report_tables import ReportTables
from serm.core.settings_data import EVOLVING
from serm.evals.tables import Cells

TEMPLATE = Path(__file__).resolve().parent / "report.html"


def html_report(tables: ReportTables, made_by: str, simulated: Sequence[str]) -> str:
    """The page over all finished runs; its first arm is the one whose pairs and judges are shown."""
    results = tables.results
    protocol, ours, own = results.protocol, results.ours, results.own
    page = Environment(autoescape=True, trim_blocks=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    return page.render(
        title=protocol.name,
        made_by=made_by,
        simulated=simulated,
        notes=results.notes,
        seeds=len(results.seeds),
        level=f"{LEVEL:.0%}",
        ours=ours,
        baseline=results.baseline,
        curves=[(name, Markup(_curves(results, name))) for name in (*results.sets, EVOLVING)],
        forests=[(name, Markup(_forest(results, name))) for name in (*results.sets, EVOLVING)],
        tables=tables,
        decisions=_decisions(results),
        pairs=pair_stories(own[0]) if own else [],
    )


def _curves(results: Results, name: str) -> str:
    """What every arm adds to frozen, over the rounds that measured the set. The evolving set is another
    window each time."""
    rows = results.table[results.table["set"] == name]
    numbers = sorted(int(number) for number in rows["round"].unique())
    if not numbers:
        return ""
    styles = {results.baseline: "base", results.ours: "ours"}

    def line(arm: str) -> Curve:
        gains = (
            results.values(arm, name, number) - results.values(arm, name, number, "frozen")
            for number in numbers
        )
        intervals = [results.interval(gain, RESAMPLES // 4) for gain in gains]
        return Curve(arm, list(enumerate(intervals)), styles.get(arm, "other"))

    series = sorted((line(arm) for arm in results.arms), key=lambda curve: curve.style != "other")
    return curves(series, [str(number) for number in numbers], unit="points over frozen")


def _forest(results: Results, name: str) -> str:
    if name not in set(results.table["set"]):
        return ""
    baseline = results.baseline
    rows = [(arm, results.gain(arm, name, baseline)) for arm in results.arms if arm != baseline]
    return forest(rows, unit=f"points over {baseline}")


def _decisions(results: Results) -> Cells:
    headers = ("arm", "seed", "round", "window", "verdict", "why")
    rows = [
        (
            run.arm,
            f"{run.seed} {run.fold}".strip(),
            str(report["round"]),
            report["window"]["name"],
            report["verdict"].replace("_", " "),
            "; ".join(report["decision"]["reasons"]),
        )
        for run in results.own
        for report in reports(run)
        if report["round"]
    ]
    return Cells(headers, tuple(rows), frozenset(headers))
