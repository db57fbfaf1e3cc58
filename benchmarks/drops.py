"""How far the passing of time takes a model down, and how much of that an arm makes good."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from serm.benchmarks.arms import EVOLVING, Mask, Results
from serm.benchmarks.collect import reports
from serm.core.records import Interval
from serm.evals.bootstrap import Floats
from serm.evals.tables import NOTHING, Cells
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
    if not static or not results.evolving_rounds:
        return Cells((), ())
    windows = _window_names(results)
    numbers = [number for number in results.evolving_rounds if number + 1 in windows]
    headers = ("model", *(windows[number + 1] for number in numbers))
    rows = [
        (who, *(_drop(results, arm, static, number, role) for number in numbers))
        for who, arm, role in (
            ("untrained", results.ours, "untrained"),
            ("frozen", results.ours, "frozen"),
            *((arm, arm, "champion") for arm in results.arms),
        )
    ]
    return Cells(headers, tuple(rows), frozenset(headers))


def gap_closed(results: Results) -> Cells:
    """How much of the gap that drift opens in the frozen model each arm closes, on the last test, over all
    and by language and stratum. The gap: what frozen has on the static test less what it has on the last.

    Of a marketplace alone: there both tests are drawn alike, and drift is all that differs.
    """
    last = _test(results, "last_test")
    gaps = _gaps(results, last)
    headers = ("arm", *gaps)
    rows = [("gap in points", *(gap.told for gap in gaps.values()))]
    for arm in results.arms if gaps else ():
        mended = results.of(arm, last)
        rows.append((arm, *(gap.closed(mended) for gap in gaps.values())))
    return Cells(headers, tuple(rows), frozenset(headers)) if gaps else Cells((), ())


def gap_by_window(results: Results) -> Cells:
    """The same in the round of each drift: on each window's own test, after that window's round and no
    later one. All arms over all queries, and ours by language and stratum."""
    tests = _window_tests(results)
    gaps = {number: _gaps(results, test) for number, test in tests.items()}
    if len(gaps) < 2 or not all(gaps.values()):
        return Cells((), ())
    rows: list[tuple[str, ...]] = []
    for part in next(iter(gaps.values())):
        found = {number: of[part] for number, of in gaps.items() if part in of}
        cells = (found[number].told if number in found else NOTHING for number in gaps)
        rows.append(("gap in points", part, *cells))
        for arm in results.arms if part == ALL else (results.ours,):
            closed = (
                found[number].closed(results.of(arm, tests[number], number)) if number in found else NOTHING
                for number in gaps
            )
            rows.append((arm, part, *closed))
    names = _window_names(results)
    headers = ("arm", "queries", *(names[number] for number in gaps))
    return Cells(headers, tuple(rows), frozenset(headers))


@dataclass(frozen=True)
class _Gap:
    """What drift took from the frozen model, in one slice of the queries."""

    results: Results
    then: Floats  # its values on the static test
    now: Floats  # and on the other
    mask: Mask | None
    size: Interval

    @property
    def told(self) -> str:
        size = self.size
        if math.isnan(size.mean):
            return NOTHING
        if math.isnan(size.low):
            return f"{100 * size.mean:.1f} (too few queries for an interval)"
        told = f"{100 * size.mean:.1f} [{100 * size.low:.1f}, {100 * size.high:.1f}]"
        return told if size.low > 0 else f"{told} within noise"

    def closed(self, mended: Floats) -> str:
        """What share of it is closed; nothing where the gap itself is not sure."""
        if not self.size.low > 0:
            return NOTHING

        def share(first: Floats, frozen: Floats, mended: Floats) -> Floats:
            opened = first - frozen
            return np.where(opened > LEAST_GAP, (mended - frozen) / np.maximum(opened, LEAST_GAP), np.nan)

        return _share(self.results.measured([[self.then], [self.now, _kept(mended, self.mask)]], share))


def _gaps(results: Results, test: str) -> dict[str, _Gap]:
    """Between the static test and another, by slice; none where there is nothing to compare."""
    static = _test(results, "static_test")
    if results.protocol.marketplace is None or not static or not test or static == test:
        return {}
    slices: dict[str, tuple[Mask | None, Mask | None]] = {ALL: (None, None)}
    for column in ("language", "stratum"):
        before, after = results.slices(static, column), results.slices(test, column)
        order = STRATA if column == "stratum" else tuple(after)
        found = {name: (before[name], after[name]) for name in order if name in before and name in after}
        slices |= found if len(found) > 1 else {}
    first, later = (results.of(results.ours, name, role="frozen") for name in (static, test))
    sides = {name: (_kept(first, then), _kept(later, now), now) for name, (then, now) in slices.items()}
    return {
        name: _Gap(results, then, now, mask, results.measured([[then], [now]], lambda a, b: a - b))
        for name, (then, now, mask) in sides.items()
    }


def _drop(results: Results, arm: str, static: str, number: int, role: str) -> str:
    now, later = results.of(arm, static, number, role), results.of(arm, EVOLVING, number, role)

    def drop(first: Floats, then: Floats) -> Floats:
        return np.where(first > 0, (first - then) / np.maximum(first, LEAST_GAP), np.nan)

    return _share(results.measured([[now], [later]], drop))


def _share(found: Interval) -> str:
    """A share with its interval; nothing where it is not known, as of a slice without queries."""
    if not math.isfinite(found.mean):
        return NOTHING
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return f"{round(100 * found.mean) + 0:d}% (too few queries for an interval)"
    mean, low, high = (f"{round(100 * value) + 0:d}%" for value in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


def _kept(values: Floats, mask: Mask | None) -> Floats:
    return values if mask is None else np.where(mask, values, np.nan)


def _test(results: Results, role: str) -> str:
    """The name of the static or of the last test."""
    return str(reports(results.own[0])[0].get(role) or "") if results.own else ""


def _window_names(results: Results) -> dict[int, str]:
    rows = results.table[results.table["arm"] == results.ours]
    return {int(number): str(name) for number, name in zip(rows["round"], rows["window"], strict=True)}


def _window_tests(results: Results) -> dict[int, str]:
    """By round the test of its window: that of its name, or the last one for the last window."""
    names = {number: name for number, name in _window_names(results).items() if name}
    tests = {number: name for number, name in names.items() if name in results.sets}
    last = _test(results, "last_test")
    return tests | ({max(names): last} if names and last else {})
