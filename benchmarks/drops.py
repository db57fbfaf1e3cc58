"""How far the passing of time takes a model down, and how much of that an arm makes good."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from serm.benchmarks.arm_tables import models
from serm.benchmarks.arms import FROZEN, Model, Results, Slice
from serm.benchmarks.collect import reports
from serm.benchmarks.figures import NONE, SMALLEST, share, share_of, smallest
from serm.core.records import Interval
from serm.core.settings_data import EVOLVING
from serm.evals.bootstrap import Floats
from serm.evals.tables import NOTHING, Cells, estimate
from serm.tools.strata import STRATA

ALL = "all"
LEAST_GAP = 0.001  # NDCG: samples with a smaller gap say nothing of its share; chosen


def relative_drops(results: Results) -> Cells:
    """RnDCG of LongEval (CLEF 2023): what a model loses on later queries, as a share of what it has on the
    first ones; (NDCG now - NDCG later) / NDCG now.

    Now is the static test, later each window before anything of it is used, both by the same model: that in
    use after the round before. The queries differ, so nothing is paired.
    """
    static = _test(results, "static_test")
    if not static or not results.next_windows:
        return Cells((), ())
    numbers = [number for number in results.next_windows if number + 1 in results.windows]
    headers = ("model", *(results.windows[number + 1] for number in numbers))
    rows = []
    drops = []
    for who, model in models(results):
        drops.append([_drop(results, model, static, number) for number in numbers])
        rows.append((who, *map(share, drops[-1])))
    rows.append((SMALLEST, *smallest(drops, share_of)))
    return Cells(headers, tuple(rows), frozenset(headers))


def gap_closed(results: Results) -> Cells:
    """How much of the gap that drift opens in the frozen model each arm closes, on the last test, over all
    and by language and stratum. The gap: what frozen has on the static test less what it has on the last.

    Of a marketplace alone: there both tests are drawn alike, and drift is all that differs.
    """
    last = _test(results, "last_test")
    gaps = _Gaps(results, last)
    parts = gaps.of(results.ours)
    headers = ("arm", *parts)
    if not parts:
        return Cells((), ())
    rows = [("gap in points", *(gap.told for gap in parts.values()))]
    closed = [[gaps.closed(arm, part) for part in parts] for arm in results.arms]
    rows += [(results.named(arm), *map(share, row)) for arm, row in zip(results.arms, closed, strict=True)]
    rows.append((SMALLEST, *smallest(closed, share_of)))
    return Cells(headers, tuple(rows), frozenset(headers))


def gap_by_window(results: Results) -> Cells:
    """The same in the round of each drift: on each window's own test, after that window's round and no
    later one. All arms over all queries, and ours by language and stratum."""
    found = _of_windows(results)
    if not found:
        return Cells((), ())
    rows: list[tuple[str, ...]] = []
    everything = []
    for part in next(iter(found.values())).of(results.ours):
        told = (gaps.told(part) for gaps in found.values())
        rows.append(("gap in points", part, *told))
        for arm in results.arms if part == ALL else (results.ours,):
            closed = [gaps.closed(arm, part) for gaps in found.values()]
            rows.append((results.named(arm), part, *map(share, closed)))
            everything += [closed] if part == ALL else []
    rows.append((SMALLEST, ALL, *smallest(everything, share_of)))
    headers = ("arm", "queries", *(results.windows[number] for number in found))
    return Cells(headers, tuple(rows), frozenset(headers))


def gap_to_own_test(results: Results) -> Cells:
    """How much less drift costs an arm than the frozen model, in the round of each drift: 1 less the ratio of
    what either has on the static test less what it has on the window's, after that window's round.

    Training on anything lifts both tests. What it lifts alike is in `gap_by_window` and not here.
    """
    found = _of_windows(results)
    if not found:
        return Cells((), ())
    kept = [[gaps.kept_up(arm) for gaps in found.values()] for arm in results.arms]
    rows = [(results.named(arm), *map(share, row)) for arm, row in zip(results.arms, kept, strict=True)]
    rows.append((SMALLEST, *smallest(kept, share_of)))
    headers = ("arm", *(results.windows[number] for number in found))
    return Cells(headers, tuple(rows), frozenset(headers))


@dataclass(frozen=True)
class _Gap:
    """What drift took from the frozen model, in one slice of the queries."""

    then: Floats  # its values on the static test
    now: Floats  # and on the other
    only: Slice | None  # of the other
    size: Interval

    @property
    def told(self) -> str:
        told = estimate(self.size)
        return f"{told} within noise" if self.size.low <= 0 else told


@dataclass(frozen=True)
class _Gaps:
    """Between the static test and another, and what of them is closed after a round (the last by default)."""

    results: Results
    test: str
    number: int | None = None

    @cached_property
    def _by_seeds(self) -> dict[tuple[int, ...], dict[str, _Gap]]:
        return {}

    def of(self, arm: str) -> dict[str, _Gap]:
        """By slice; none where there is nothing to compare. Of arms with the same seeds they are ours."""
        seeds = self.results.seeds_of(arm)
        if seeds not in self._by_seeds:
            same = seeds == self.results.seeds_of(self.results.ours)
            self._by_seeds[seeds] = _gaps(self.results, self.test, self.results.ours if same else arm)
        return self._by_seeds[seeds]

    def told(self, part: str) -> str:
        found = self.of(self.results.ours)
        return found[part].told if part in found else NOTHING

    def closed(self, arm: str, part: str) -> Interval:
        """What share of a gap an arm has closed; NaN where the gap itself is not sure."""
        gap = self.of(arm).get(part)
        if gap is None or not gap.size.low > 0:
            return NONE

        def mended_share(first: Floats, frozen: Floats, mended: Floats) -> Floats:
            opened = first - frozen
            return np.where(opened > LEAST_GAP, (mended - frozen) / np.maximum(opened, LEAST_GAP), np.nan)

        mended = self.results.of(arm, self.test, self.number, only=gap.only)
        return self.results.measured([[gap.then], [gap.now, mended]], mended_share)

    def kept_up(self, arm: str) -> Interval:
        """What part of the gap an arm does not have between its own tests; NaN where the gap is not sure."""
        gap = self.of(arm).get(ALL)
        if gap is None or not gap.size.low > 0:
            return NONE

        def without(first: Floats, own_first: Floats, frozen: Floats, mended: Floats) -> Floats:
            opened = first - frozen
            return np.where(
                opened > LEAST_GAP, 1 - (own_first - mended) / np.maximum(opened, LEAST_GAP), np.nan
            )

        own_first = self.results.of(arm, _test(self.results, "static_test"), self.number)
        mended = self.results.of(arm, self.test, self.number)
        return self.results.measured([[gap.then, own_first], [gap.now, mended]], without)


def _gaps(results: Results, test: str, arm: str) -> dict[str, _Gap]:
    static = _test(results, "static_test")
    if results.protocol.marketplace is None or not static or not test or static == test:
        return {}
    slices: dict[str, tuple[Slice | None, Slice | None]] = {ALL: (None, None)}
    for column in ("language", "stratum"):
        before, after = results.slices(static, column), results.slices(test, column)
        order = STRATA if column == "stratum" else tuple(after)
        found = {name: (before[name], after[name]) for name in order if name in before and name in after}
        slices |= found if len(found) > 1 else {}
    sides = {
        name: (
            results.of(arm, static, role=FROZEN, only=before),
            results.of(arm, test, role=FROZEN, only=after),
            after,
        )
        for name, (before, after) in slices.items()
    }
    return {
        name: _Gap(then, now, after, results.measured([[then], [now]], lambda a, b: a - b))
        for name, (then, now, after) in sides.items()
    }


def _of_windows(results: Results) -> dict[int, _Gaps]:
    """By round the gaps on its window's own test; none where there are not two, or one opens no gap."""
    found = {number: _Gaps(results, test, number) for number, test in _window_tests(results).items()}
    return found if len(found) > 1 and all(gaps.of(results.ours) for gaps in found.values()) else {}


def _drop(results: Results, model: Model, static: str, number: int) -> Interval:
    now, later = (results.of(model.arm, name, number, model.role) for name in (static, EVOLVING))

    def drop(first: Floats, then: Floats) -> Floats:
        return np.where(first > 0, (first - then) / np.maximum(first, LEAST_GAP), np.nan)

    return results.measured([[now], [later]], drop)


def _test(results: Results, role: str) -> str:
    """The name of the static or of the last test."""
    return str(reports(results.own[0])[0].get(role) or "") if results.own else ""


def _window_tests(results: Results) -> dict[int, str]:
    """By round the test of its window: that of its name, or the last one for the last window."""
    names = {number: name for number, name in results.windows.items() if name}
    tests = {number: name for number, name in names.items() if name in results.sets}
    last = _test(results, "last_test")
    return tests | ({max(names): last} if names and last else {})
