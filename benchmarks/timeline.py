"""Drift, round by round: what the drift agent's tests said, as the traces of the runs have it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from serm.benchmarks.collect import reports
from serm.benchmarks.runs import Run
from serm.evals.tables import NOTHING, Cells
from serm.storage.trace import read_spans

TOOL = "detect_drift"
NAMED = 3  # regions that are named, the most certain first
HEADERS = ("seed", "round", "window", "p", "tests", "regions", "the most certain")


def drift_timeline(runs: Sequence[Run]) -> Cells:
    """A row a run and round in which the drift agent looked: p over all tests and regions, each test's own,
    how many regions there are, and the first of them with their queries before and now."""
    rows = [
        (
            f"{run.seed} {run.fold}".strip(),
            str(report["round"]),
            report["window"]["name"],
            _p(said.get("p_value")),
            ", ".join(f"{name} {_p(test['p_value'])}" for name, test in said.get("tests", {}).items())
            or NOTHING,
            _count(said),
            "; ".join(_region(region) for region in said.get("regions", [])[:NAMED]) or NOTHING,
        )
        for run in runs
        for report, said in _looks(run)
    ]
    return Cells(HEADERS, tuple(rows), frozenset(HEADERS) - {"p"}) if rows else Cells((), ())


def _looks(run: Run) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The last look of each round."""
    for report in reports(run):
        if not report["round"]:
            continue
        spans = read_spans(run.folder / "workspace" / "traces.sqlite", report["trace_id"])
        said = [item.outputs for item in spans if item.name == TOOL and isinstance(item.outputs, str)]
        if said:
            yield report, json.loads(said[-1])


def _count(said: Mapping[str, Any]) -> str:
    kinds = Counter(str(region["kind"]) for region in said.get("regions", []))
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    total = int(said.get("regions_found", 0))
    return f"{total} ({told})" if told and total == sum(kinds.values()) else str(total)


def _region(region: Mapping[str, Any]) -> str:
    before, now = region["queries"]
    examples = region.get("examples") or []
    what = f"“{examples[0]}”" if examples else str(region.get("shared", ""))
    return f"{region['kind']} {what}, {before} → {now} queries"


def _p(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2g}"
