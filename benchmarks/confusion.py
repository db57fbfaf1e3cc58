"""Judges against human grades: what each said of the pairs that an arm sent to it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.benchmarks.collect import called, reports, sealed_grades, simulated_in
from serm.benchmarks.runs import Run
from serm.core.columns import KEY
from serm.core.records import GRADES
from serm.evals.tables import Cells


def confusions(runs: Sequence[Run]) -> list[tuple[str, Cells]]:
    """Human grade by judge's grade, of every judge that the runs asked."""
    counts: dict[str, NDArray[np.int64]] = {}
    for run in runs:
        human = sealed_grades(run)
        for report in reports(run):
            if not report["round"]:
                continue
            simulated = simulated_in(report)
            labels = pd.read_parquet(run.folder / "workspace" / report["labels"], columns=[*KEY, "votes"])
            for query, doc, votes in labels.astype(str).itertuples(index=False, name=None):
                true = human.get((query, doc))
                for judge, grade in json.loads(votes):
                    if true is not None and grade is not None:
                        empty = np.zeros((len(GRADES), len(GRADES)), dtype=np.int64)
                        counts.setdefault(called(judge, simulated), empty)[true, grade] += 1
    return [(judge, _cells(table)) for judge, table in counts.items()]


def one_table(found: Sequence[tuple[str, Cells]]) -> Cells:
    """All judges under each other."""
    headers = ("judge", "human", *(f"said {grade}" for grade in GRADES))
    rows = [(judge, *row) for judge, cells in found for row in cells.rows]
    return Cells(headers, tuple(rows), frozenset({"judge"})) if rows else Cells((), ())


def _cells(table: NDArray[np.int64]) -> Cells:
    headers = ("human", *map(str, GRADES))
    rows = tuple((str(grade), *(f"{count:,}" for count in table[grade])) for grade in GRADES)
    return Cells(headers, rows, frozenset({"human"}))
