"""The report people read: one HTML file that needs nothing else, on a phone, in print and in the dark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment
from markupsafe import Markup

from serm.benchmarks.arm_tables import EVOLVING, LEVEL, RESAMPLES, Results, by_round, costs, last_round
from serm.benchmarks.charts import Curve, curves, forest
from serm.benchmarks.collect import languages, reports, sealed_grades
from serm.benchmarks.report_pairs import pair_stories
from serm.benchmarks.runner import Run
from serm.core.columns import KEY
from serm.core.records import GRADES
from serm.evals.bootstrap import seeds_interval
from serm.evals.tables import NOTHING, Cells, difference

TEMPLATE = Path(__file__).resolve().parent / "report.html"


def html_report(results: Results, made_by: str, simulated: Sequence[str]) -> str:
    """The page over all finished runs; its first arm is the one whose pairs and judges are shown."""
    protocol = results.protocol
    ours = results.ours
    own = [run for run in results.runs if run.arm == ours and run.done]
    page = Environment(autoescape=True, trim_blocks=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    return page.render(
        title=protocol.name,
        made_by=made_by,
        simulated=simulated,
        notes=[(name, arm.note) for name, arm in protocol.arms.items() if arm.note],
        seeds=len(results.seeds),
        level=f"{LEVEL:.0%}",
        ours=ours,
        baseline=protocol.baseline,
        curves=[(name, Markup(_curves(results, name))) for name in (*results.sets, EVOLVING)],
        forests=[(name, Markup(_forest(results, name))) for name in (*results.sets, EVOLVING)],
        last_round=last_round(results),
        slices=_by_language(results, own),
        by_round=by_round(results),
        costs=costs(results),
        confusion=_confusions(own),
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
    styles = {results.protocol.baseline: "base", results.ours: "ours"}

    def line(arm: str) -> Curve:
        gains = (
            results.values(arm, name, number) - results.values(arm, name, number, "frozen")
            for number in numbers
        )
        intervals = [seeds_interval(gain, LEVEL, RESAMPLES // 4, seed=0) for gain in gains]
        return Curve(arm, list(enumerate(intervals)), styles.get(arm, "other"))

    series = sorted((line(arm) for arm in results.arms), key=lambda curve: curve.style != "other")
    return curves(series, [str(number) for number in numbers], unit="points over frozen")


def _forest(results: Results, name: str) -> str:
    if name not in set(results.table["set"]):
        return ""
    baseline = results.protocol.baseline
    rows = [(arm, results.gain(arm, name, baseline)) for arm in results.arms if arm != baseline]
    return forest(rows, unit=f"points over {baseline}")


def _by_language(results: Results, own: Sequence[Run]) -> Cells:
    """What the first arm and the baseline add to frozen in each language, where there are several."""
    spoken = languages(own[0]) if own else pd.Series(dtype=object)
    names = sorted({str(name) for name in spoken if name})
    if len(names) < 2:
        return Cells((), ())
    headers = ("arm", "set", *names)
    rows = []
    for arm in dict.fromkeys((results.ours, results.protocol.baseline)):
        for test in results.sets:
            cells = []
            columns = results.queries(arm, test)
            change = results.of(arm, test) - results.of(arm, test, role="frozen")
            for name in names:
                chosen = change[:, [spoken.get(query, "") == name for query in columns]]
                cells.append(
                    difference(seeds_interval(chosen, LEVEL, RESAMPLES, seed=0)) if chosen.size else NOTHING
                )
            rows.append((arm, test, *cells))
    return Cells(headers, tuple(rows), frozenset(headers))


def _confusions(runs: Sequence[Run]) -> list[tuple[str, Cells]]:
    """Human grade by judge's grade, of every judge that the arm asked."""
    counts: dict[str, Any] = {}
    for run in runs:
        human = sealed_grades(run)
        for report in reports(run):
            if not report["round"]:
                continue
            labels = pd.read_parquet(run.folder / "workspace" / report["labels"], columns=[*KEY, "votes"])
            for query, doc, votes in labels.astype(str).itertuples(index=False, name=None):
                true = human.get((query, doc))
                for judge, grade in json.loads(votes):
                    if true is not None and grade is not None:
                        counts.setdefault(judge, np.zeros((len(GRADES), len(GRADES)), dtype=int))[
                            true, grade
                        ] += 1
    headers = ("human", *map(str, GRADES))
    return [
        (
            judge,
            Cells(
                headers, tuple((str(g), *(f"{n:,}" for n in table[g])) for g in GRADES), frozenset({"human"})
            ),
        )
        for judge, table in counts.items()
    ]


def _decisions(results: Results) -> Cells:
    headers = ("arm", "seed", "round", "window", "verdict", "why")
    rows = [
        (
            run.arm,
            str(run.seed),
            str(report["round"]),
            report["window"]["name"],
            report["verdict"].replace("_", " "),
            "; ".join(report["decision"]["reasons"]),
        )
        for run in results.runs
        if run.done and run.arm == results.ours
        for report in reports(run)
        if report["round"]
    ]
    return Cells(headers, tuple(rows), frozenset(headers))
