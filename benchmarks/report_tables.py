"""The tables of a report, each made once: Markdown and HTML show the same ones."""

from __future__ import annotations

from functools import cached_property

from serm.benchmarks.arm_tables import before_use, by_round, by_slice, last_round
from serm.benchmarks.arms import Results
from serm.benchmarks.confusion import confusions
from serm.benchmarks.costs import costs, per_thousand
from serm.benchmarks.drops import gap_by_window, gap_closed, relative_drops
from serm.benchmarks.timeline import drift_timeline
from serm.evals.tables import Cells

BEFORE_USE = (
    "each window before anything of it is used, by the model in use after the round before it (the first by "
    "frozen); all windows together, and a query that comes in several counts once"
)
UNDER_TABLES = (
    "Under a table stands the smallest change that so many queries and seeds show in four cases of five: the "
    "median over its arms."
)
FREE = (
    "What is not matched by cost stands last, and with it untrained and frozen, which cost no label. "
    "An arm's change is from its own frozen model."
)
PER_THOUSAND = (
    "points over frozen after the last round, divided by the pairs that were sent to the panel; tests alone, "
    "since windows are measured before most labels are there"
)


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
