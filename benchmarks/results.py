"""The tables of docs/results/rounds.md, from the workspace of a finished run.

python -m serm.benchmarks.results .serm/verticals
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from serm.core.records import Interval
from serm.evals.evaluate import LOWER_IS_BETTER, WITHOUT_VERDICT
from serm.evals.tables import NOTHING, Cells, change, difference, markdown, points
from serm.storage.rounds import read_rounds

Report = Mapping[str, Any]

RANKING = ("ndcg@1", "ndcg@4", "ndcg@10")
GRADES = ("accuracy", "balanced_accuracy", "qwk", "brier")


def results_markdown(reports: Sequence[Report]) -> str:
    """Rounds, then ranking and grade measures of every set after every round, all as GitHub tables."""
    parts = [
        "**Rounds**\n\n" + markdown(rounds_table(reports)),
        "**Ranking**, NDCG@4 in points; the last three columns are the model in use minus frozen, all "
        f"differences with the {_level(reports):.0%} bootstrap interval over queries\n\n"
        + markdown(ranking_table(reports)),
        "**Grades** of the model in use, in points, in brackets those of always the commonest grade, and the "
        "difference to frozen\n\n" + markdown(grades_table(reports)),
    ]
    return "\n".join(parts)


def rounds_table(reports: Sequence[Report]) -> Cells:
    """What each round mined, kept and trained on, and what the gate said."""
    headers = (
        "round",
        "window",
        "pairs",
        "mined",
        "kept",
        "kept right",
        "trained on",
        "gate",
        "change at the gate",
    )
    rows = []
    for report in reports[1:]:
        counts, decision, accuracy = report["counts"], report["decision"], report["label_accuracy"]
        rows.append(
            (
                str(report["round"]),
                report["window"]["name"],
                str(report["window"]["pairs"]),
                str(counts["mined"]),
                str(counts["labelled"]),
                f"{accuracy['accuracy']:.1%}" if accuracy else NOTHING,
                " + ".join(f"{count} {origin}" for origin, count in counts["trained_on"].items()),
                report["verdict"].replace("_", " ") + (", underpowered" if decision["underpowered"] else ""),
                difference(_interval(decision["change"])),
            )
        )
    return Cells(headers, tuple(rows), frozenset({"window", "trained on", "gate", "at the gate"}))


def ranking_table(reports: Sequence[Report]) -> Cells:
    """A row a round and set: untrained, frozen and the model in use, and what tells them from frozen."""
    models = ("untrained", "frozen", "in use")
    headers = ("round", "set", "queries", *models, "untrained - frozen", *(_title(name) for name in RANKING))
    rows = []
    for report, name, table in _measured(reports):
        changes = table["differences"]
        rows.append(
            (
                str(report["round"]),
                name,
                str(table["frozen"]["queries"]),
                *(points(table[role]["ndcg@4"]) for role in ("untrained", "frozen", "champion")),
                difference(_interval(changes["untrained - frozen"]["ndcg@4"])),
                *(_gain(report, changes, measure) for measure in RANKING),
            )
        )
    return Cells(headers, tuple(rows), frozenset({"set", *headers[6:]}))


def grades_table(reports: Sequence[Report]) -> Cells:
    """A row a round and set; and what "always the commonest grade" would have, in brackets."""
    headers = ("round", "set", *(_title(name) for name in GRADES))
    rows = []
    for report, name, table in _measured(reports):
        cells = []
        for measure in GRADES:
            model = table["champion"]
            gain = _gain(report, table["differences"], measure)
            more = "" if gain == NOTHING else f"; {gain}"
            cells.append(f"{points(model[measure])} ({points(model['commonest'][measure])}){more}")
        rows.append((str(report["round"]), name, *cells))
    return Cells(headers, tuple(rows), frozenset(headers[1:]))


def _gain(report: Report, changes: Mapping[str, Any], measure: str) -> str:
    """What the model in use adds to the frozen one; a dash while it is the frozen one."""
    if report["models"]["champion_after"] == report["models"]["frozen"]:
        return NOTHING
    interval = _interval(changes["champion - frozen"][measure])
    if measure in WITHOUT_VERDICT:
        return change(interval)
    return difference(interval, lower_is_better=measure in LOWER_IS_BETTER)


def _measured(reports: Sequence[Report]) -> Iterator[tuple[Report, str, Mapping[str, Any]]]:
    for report in reports:
        marks = {report["static_test"]: " (static)", report["last_test"]: " (last)"}
        for name, table in report["evaluations"].items():
            yield report, name + marks.get(name, ""), table


def _interval(values: Mapping[str, Any]) -> Interval:
    """An interval as the report holds it; what was no number is None there."""
    mean, low, high = (
        float("nan") if values[key] is None else values[key] for key in ("mean", "low", "high")
    )
    return Interval(mean, low, high, values["n"], values["level"])


def _level(reports: Sequence[Report]) -> float:
    table = next(iter(reports[0]["evaluations"].values()))
    return float(table["differences"]["champion - frozen"]["ndcg@4"]["level"])


def _title(name: str) -> str:
    return name.replace("ndcg", "NDCG").replace("qwk", "QWK").replace("_", " ").replace("brier", "Brier")


if __name__ == "__main__":
    print(results_markdown(read_rounds(Path(sys.argv[1]) / "rounds")), end="")
