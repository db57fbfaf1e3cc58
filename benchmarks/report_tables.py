"""The tables of a report, each made once: Markdown and HTML show the same ones."""

from __future__ import annotations

from functools import cached_property

from serm.benchmarks.arm_tables import before_use, by_round, by_slice, last_round
from serm.benchmarks.arms import Results
from serm.benchmarks.ceiling import of_true_grades
from serm.benchmarks.collect import data_folder
from serm.benchmarks.confusion import confusions
from serm.benchmarks.costs import costs, per_thousand
from serm.benchmarks.drops import gap_by_window, gap_closed, relative_drops
from serm.benchmarks.measure_table import other_measures
from serm.benchmarks.timeline import drift_timeline
from serm.evals.tables import Cells
from serm.graphs.notices import data_notices
from serm.storage.continuity import CURRENT
from serm.storage.dataset import DataSet


class ReportTables:
    """Without rows where the data does not have what a table shows."""

    def __init__(self, results: Results) -> None:
        self.results = results

    @cached_property
    def last_round(self) -> Cells:
        return last_round(self.results)

    @cached_property
    def before_use(self) -> Cells:
        return before_use(self.results)

    @cached_property
    def measures(self) -> Cells:
        return other_measures(self.results)

    @cached_property
    def left_out(self) -> list[str]:
        """Rows that the runs did without, and why, as the first one's data set says, if it is there."""
        first = self.results.done[0]
        if not (first.folder / "workspace" / "data" / CURRENT).is_file():
            return []
        return list(data_notices(DataSet.load(data_folder(first))))

    @cached_property
    def of_true_grades(self) -> Cells:
        return of_true_grades(self.results)

    @cached_property
    def by_round(self) -> Cells:
        return by_round(self.results)

    @cached_property
    def languages(self) -> Cells:
        return by_slice(self.results, "language")

    @cached_property
    def strata(self) -> Cells:
        return by_slice(self.results, "stratum")

    @cached_property
    def gaps(self) -> Cells:
        return gap_closed(self.results)

    @cached_property
    def gaps_by_window(self) -> Cells:
        return gap_by_window(self.results)

    @cached_property
    def drops(self) -> Cells:
        return relative_drops(self.results)

    @cached_property
    def drift(self) -> Cells:
        return drift_timeline(self.results.own)

    @cached_property
    def per_thousand(self) -> Cells:
        return per_thousand(self.results)

    @cached_property
    def costs(self) -> Cells:
        return costs(self.results)

    @cached_property
    def confusions(self) -> list[tuple[str, Cells]]:
        """By judge."""
        return confusions(self.results.own)
