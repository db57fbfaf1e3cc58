"""Which runs of a protocol are compared: the arms and seeds that are done, and what is to be said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from serm.benchmarks.carrying import RUN, carried, ended_early
from serm.benchmarks.protocol import Protocol
from serm.benchmarks.runs import Run
from serm.core.settings_data import EVOLVING


@dataclass(frozen=True)
class Finished:
    """`table` is that of `collect`, a row a run, round, set, role and query."""

    protocol: Protocol
    table: pd.DataFrame
    runs: Sequence[Run]

    @cached_property
    def done(self) -> tuple[Run, ...]:
        """Those that are in the table: another may have ended since."""
        there = set(self.table[RUN].drop_duplicates().itertuples(index=False, name=None))
        return tuple(run for run in self.runs if (run.arm, run.seed, run.fold) in there)

    @cached_property
    def arms(self) -> tuple[str, ...]:
        there = {run.arm for run in self.done}
        return tuple(arm for arm in self.protocol.arms if arm in there)

    @property
    def ours(self) -> str:
        """The arm whose pairs and judges a report shows: `ours`, or else the first."""
        return "ours" if "ours" in self.arms else self.arms[0]

    @property
    def baseline(self) -> str:
        """The protocol's, or where that was not run the first arm that was."""
        return self.protocol.baseline if self.protocol.baseline in self.arms else self.arms[0]

    def named(self, arm: str) -> str:
        """The arm as tables name it."""
        return arm if self.protocol.arms[arm].matched else f"{arm} (not cost-matched)"

    # -- seeds

    @cached_property
    def _finished(self) -> dict[str, frozenset[int]]:
        """By arm the seeds of which it has every fold that any run has."""
        folds = {run.fold for run in self.done}
        places = {(run.arm, run.seed, run.fold) for run in self.done}
        seeds = {run.seed for run in self.done}
        return {
            arm: frozenset(seed for seed in seeds if all((arm, seed, fold) in places for fold in folds))
            for arm in self.arms
        }

    @cached_property
    def _common(self) -> tuple[int, ...]:
        """Seeds that every arm has finished."""
        return tuple(sorted(frozenset.intersection(*self._finished.values())))

    def seeds_of(self, arm: str, other: str | None = None) -> tuple[int, ...]:
        """Those that every arm has finished. Where there are none, those that these two have, and of an arm
        alone those that it shares with the baseline, or else its own."""
        if self._common:
            return self._common
        both = self._finished[arm] & self._finished[other or self.baseline]
        return tuple(sorted(both or (frozenset() if other else self._finished[arm])))

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Those that any figure is made of."""
        return tuple(sorted({seed for arm in self.arms for seed in self.seeds_of(arm)}))

    # -- runs

    @cached_property
    def compared(self) -> tuple[Run, ...]:
        """Runs of the seeds that figures are made of."""
        return tuple(run for run in self.done if run.seed in self.seeds_of(run.arm))

    def of_arm(self, arm: str) -> tuple[Run, ...]:
        return tuple(run for run in self.compared if run.arm == arm)

    @property
    def own(self) -> tuple[Run, ...]:
        """Runs of the arm whose pairs a report shows."""
        return self.of_arm(self.ours)

    @cached_property
    def carried(self) -> pd.DataFrame:
        """What the compared runs measured; after its end a run's last model stays in use."""
        return carried(self._measured)

    @cached_property
    def _measured(self) -> pd.DataFrame:
        if len(self.compared) == len(self.done):
            return self.table
        there = pd.DataFrame([(run.arm, run.seed, run.fold) for run in self.compared], columns=RUN)
        return self.table.merge(there, on=RUN)

    @cached_property
    def rounds(self) -> tuple[int, ...]:
        return tuple(sorted(int(number) for number in self._measured["round"].unique()))

    @cached_property
    def windows(self) -> dict[int, str]:
        """The name of each round's window; "" before the first."""
        rows = self._measured.drop_duplicates("round")
        return {int(number): str(name) for number, name in zip(rows["round"], rows["window"], strict=True)}

    @cached_property
    def sets(self) -> tuple[str, ...]:
        return tuple(name for name in dict.fromkeys(self._measured["set"]) if name != EVOLVING)

    @cached_property
    def evolving_rounds(self) -> tuple[int, ...]:
        """Rounds after which every run measured a next window; none where no data has one."""
        rows = self._measured[self._measured["set"] == EVOLVING]
        runs = rows.drop_duplicates([*RUN, "round"]).groupby("round").size()
        return tuple(sorted(int(number) for number in runs[runs == len(self.compared)].index))

    @cached_property
    def next_windows(self) -> tuple[int, ...]:
        """Rounds after which any run measured a next window."""
        numbers = self._measured.loc[self._measured["set"] == EVOLVING, "round"].unique()
        return tuple(sorted(int(number) for number in numbers))

    # -- what is said

    @property
    def notes(self) -> list[tuple[str, str]]:
        """What the protocol says of the arms that were run, and what of them is not compared with all."""
        stated = [(name, self.protocol.arms[name].note) for name in self.arms]
        return [(name, note) for name, note in stated if note] + self._seed_notes() + self._round_notes()

    def _seed_notes(self) -> list[tuple[str, str]]:
        if self._common:
            left = sorted({run.seed for run in self.done} - set(self._common))
            said = f"not finished by every arm, and left out: {_listed(left)}."
            return [("seeds", said)] if left else []
        of_baseline = self._finished[self.baseline]
        return [
            (arm, f"seeds {_listed(self.seeds_of(arm))}; {_shared(seeds & of_baseline, self.baseline)}.")
            for arm, seeds in self._finished.items()
        ]

    def _round_notes(self) -> list[tuple[str, str]]:
        ended = ended_early(self._measured)
        if not ended:
            return []
        last = self.evolving_rounds[-1] if self.evolving_rounds else None
        until = f"those measured after round {last} and before" if last is not None else "none"
        return [*ended, (EVOLVING, f"windows that every run has measured, {until}.")]


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def _shared(seeds: frozenset[int], baseline: str) -> str:
    if not seeds:
        return f"none of them is one of {baseline}"
    return f"compared with {baseline} on {_listed(sorted(seeds))}"
