"""The tables of a report, each made once: Markdown and HTML show the same ones."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Final

from serm.benchmarks.arm_tables import ablations, before_use, by_round, by_slice, last_round
from serm.benchmarks.arms import LEVEL, Results
from serm.benchmarks.ceiling import of_true_grades
from serm.benchmarks.collect import data_folder
from serm.benchmarks.confusion import confusions
from serm.benchmarks.costs import costs, pairs_judged, per_thousand
from serm.benchmarks.drops import gap_by_window, gap_closed, gap_to_own_test, relative_drops
from serm.benchmarks.measure_table import other_measures
from serm.benchmarks.run_record import versions_differ
from serm.benchmarks.runs import runs_of
from serm.benchmarks.timeline import drift_timeline
from serm.evals.tables import Cells, verdict
from serm.graphs.notices import data_notices
from serm.storage.dataset import DataSet
from serm.storage.workspace import CURRENT

_ALIKE: Final = 0.01  # chosen: numbers of pairs that are as close count as matched


class ReportTables:
    """Without rows where the data does not have what a table shows."""

    def __init__(self, results: Results, folder: Path | None = None) -> None:
        """`folder`: of the benchmark, where other runs may be done that these tables are not of."""
        self.results, self._folder = results, folder

    @cached_property
    def last_round(self) -> Cells:
        return last_round(self.results)

    @cached_property
    def before_use(self) -> Cells:
        return before_use(self.results)

    @cached_property
    def ablations(self) -> Cells:
        return ablations(self.results)

    @cached_property
    def measures(self) -> Cells:
        return other_measures(self.results)

    @cached_property
    def notices(self) -> list[str]:
        """What is to be known of the runs before anything is read."""
        said = [
            self.missing,
            versions_differ(self.results.done),
            self.unmatched,
            *self.elsewhere,
            *self.left_out,
            self.comparisons,
        ]
        return [sentence for sentence in said if sentence]

    @cached_property
    def missing(self) -> str:
        """Runs that were asked for and are not done: an arm without any stands in no table."""
        runs, done = self.results.runs, set(self.results.done)
        told = []
        for arm in dict.fromkeys(run.arm for run in runs):
            of_arm = [run for run in runs if run.arm == arm]
            places = [f"{run.seed} {run.fold}".strip() for run in of_arm if run not in done]
            if places:
                which = "all" if len(places) == len(of_arm) else f"seed {', '.join(places)}"
                told.append(f"{arm} ({which})")
        return f"{len(done)} of {len(runs)} runs are done. Not done: {'; '.join(told)}." if told else ""

    @cached_property
    def unmatched(self) -> str:
        """Arms that count as matched by cost, and sent other numbers of pairs to the panel than ours: their
        run ended early, or there were no more to mine."""
        results = self.results
        sent = {arm: pairs_judged(results, arm) for arm in results.arms}
        of_ours = sent[results.ours]
        other = [
            f"{arm} {sent[arm]:,.0f}"
            for arm in results.arms
            if results.protocol.arms[arm].matched and abs(sent[arm] - of_ours) > _ALIKE * of_ours
        ]
        told = f"Pairs sent to the panel, where they differ from the {of_ours:,.0f} of {results.ours}"
        return f"{told}: {', '.join(other)}." if other else ""

    @cached_property
    def comparisons(self) -> str:
        """How many of the comparisons would be called better or worse by chance alone."""
        shown = (self.last_round, self.ablations, self.measures, self.before_use, self.by_round)
        cells = [
            cell for table in (*shown, self.languages, self.strata) for row in table.rows for cell in row
        ]
        verdicts = [found for found in map(verdict, cells) if found]
        sure = sum(found != "within noise" for found in verdicts)
        if not verdicts:
            return ""
        return (
            f"{len(verdicts)} comparisons, each by a {LEVEL:.0%} interval of its own: were nothing "
            f"different, about {(1 - LEVEL) * len(verdicts):.0f} would be called better or worse. {sure} are."
        )

    @cached_property
    def elsewhere(self) -> list[str]:
        """Finished runs of the protocol that these tables are not of, and who stands in for the baseline."""
        results, protocol = self.results, self.results.protocol
        if self._folder is None:
            return []
        every = runs_of(self._folder, list(protocol.arms), protocol.seeds, protocol.folds)
        asked = {(run.arm, run.seed, run.fold) for run in results.runs}
        others = [run for run in every if run.done and (run.arm, run.seed, run.fold) not in asked]
        arms = [arm for arm in dict.fromkeys(run.arm for run in others) if arm not in results.arms]
        told = []
        if others:
            named = f": {', '.join(arms)}" if arms else ""
            told.append(f"Not in these tables: {len(others)} finished runs that were not asked for{named}.")
        if results.baseline != protocol.baseline:
            told.append(f"{protocol.baseline} is not among the arms: {results.baseline} stands in its place.")
        return told

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
    def gaps_left(self) -> Cells:
        return gap_to_own_test(self.results)

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
