"""The report people read: one HTML file that needs nothing else, on a phone, in print and in the dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from serm.benchmarks.arm_tables import arms_in_order
from serm.benchmarks.arms import LEVEL, Results
from serm.benchmarks.captions import CAPTIONS
from serm.benchmarks.charts import Curve, curves, forest
from serm.benchmarks.collect import reports
from serm.benchmarks.report_pairs import pair_stories
from serm.benchmarks.report_tables import ReportTables
from serm.core.settings_data import EVOLVING
from serm.evals.tables import Cells, verdict

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
        others=[results.named(arm) for arm in results.arms if arm not in (ours, results.baseline)],
        curves=[(title, Markup(chart)) for title, chart in _charts(results, _curves, "the next window")],
        forests=[(title, Markup(chart)) for title, chart in _charts(results, _forest, "all windows")],
        captions=CAPTIONS,
        tables=tables,
        decisions=_decisions(results),
        verdict=verdict,
        pairs=pair_stories(own[0]) if own else [],
    )


def _charts(results: Results, draw: Callable[[Results, str], str], windows: str) -> Iterator[tuple[str, str]]:
    """A chart of each set, by its title; of the evolving one each window before it is used."""
    for name in (*results.sets, EVOLVING):
        chart = draw(results, name)
        if chart:
            yield f"{windows}, before use" if name == EVOLVING else name, chart


def _curves(results: Results, name: str) -> str:
    """What every arm adds to frozen, over the rounds that measured the set. The evolving set is another
    window each time."""
    numbers = results.next_windows if name == EVOLVING else results.rounds
    styles = {results.baseline: "base", results.ours: "ours"}

    def line(arm: str) -> Curve:
        gains = [results.gain(arm, name, number=number) for number in numbers]
        return Curve(results.named(arm), list(enumerate(gains)), styles.get(arm, "other"))

    series = sorted((line(arm) for arm in results.arms), key=lambda curve: curve.style != "other")
    return curves(series, [str(number) for number in numbers], unit="points over frozen")


def _forest(results: Results, name: str) -> str:
    baseline = results.baseline
    others = [arm for arm in arms_in_order(results) if arm != baseline]
    rows = [(results.named(arm), results.gain(arm, name, baseline)) for arm in others]
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
