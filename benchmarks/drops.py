"""How far the passing of time takes a model down, and how much of that an arm makes good."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from serm.benchmarks.arms import EVOLVING, LEVEL, RESAMPLES, Floats, Mask, Results
from serm.benchmarks.collect import reports
from serm.core.records import Interval
from serm.evals.tables import NOTHING, Cells
from serm.tools.strata import STRATA

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
    if results.protocol.marketplace is None:
        return Cells((), ())
    static, last = _test(results, "static_test"), _test(results, "last_test")
    if not static or not last or static == last:
        return Cells((), ())
    slices: dict[str, tuple[Mask | None, Mask | None]] = {"all": (None, None)}
    for column in ("language", "stratum"):
        before, after = results.slices(static, column), results.slices(last, column)
        order = STRATA if column == "stratum" else tuple(after)
        found = {name: (before[name], after[name]) for name in order if name in before and name in after}
        slices |= found if len(found) > 1 else {}
    headers = ("arm", *slices)
    first, later = (results.of(results.ours, name, role="frozen") for name in (static, last))
    sides = [(_kept(first, then), _kept(later, now)) for then, now in slices.values()]
    gaps = [bootstrap_of([[then], [now]], lambda a, b: a - b) for then, now in sides]
    rows = [("gap in points", *(_points(gap) for gap in gaps))]
    for arm in results.arms:
        own = results.of(arm, last)
        shares = (
            _closed(gap, then, now, _kept(own, mask))
            for gap, (then, now), (_, mask) in zip(gaps, sides, slices.values(), strict=True)
        )
        rows.append((arm, *shares))
    return Cells(headers, tuple(rows), frozenset(headers))


def bootstrap_of(parts: Sequence[Sequence[Floats]], measure: Callable[..., Floats]) -> Interval:
    """An interval of a figure that is no mean: `parts` are groups of (seeds, queries) values, whose rows are
    drawn together within a group (paired) and apart from other groups; seeds are drawn for all at once.
    `measure` gets the (b,) mean of each array."""
    rng = np.random.default_rng(0)
    seeds = parts[0][0].shape[0]
    whole = measure(*(np.array([np.nanmean(array)]) for group in parts for array in group))
    chosen = rng.integers(0, seeds, (RESAMPLES // 2, seeds))
    means = []
    for group in parts:
        drawn: list[list[Floats]] = [[] for _ in group]
        for row in range(seeds):
            there = ~np.isnan(np.stack([array[row] for array in group])).any(axis=0)
            count = int(there.sum())
            picked = rng.integers(0, max(count, 1), (RESAMPLES // 2, count))
            for place, array in enumerate(group):
                drawn[place].append(array[row][there][picked].mean(axis=1))
        means += [np.take_along_axis(np.stack(item, axis=1), chosen, axis=1).mean(axis=1) for item in drawn]
    low, high = np.nanquantile(measure(*means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(whole[0]), float(low), float(high), parts[0][0].shape[1], LEVEL)


def _drop(results: Results, arm: str, static: str, number: int, role: str) -> str:
    now, later = results.of(arm, static, number, role), results.of(arm, EVOLVING, number, role)
    found = bootstrap_of([[now], [later]], lambda a, b: (a - b) / a)
    return _share(found)


def _points(gap: Interval) -> str:
    told = f"{100 * gap.mean:.1f} [{100 * gap.low:.1f}, {100 * gap.high:.1f}]"
    return told if gap.low > 0 else f"{told} within noise"


def _closed(gap: Interval, then: Floats, now: Floats, arm: Floats) -> str:
    """What share of a gap is closed; nothing where the gap itself is not sure."""
    if not gap.low > 0:
        return NOTHING

    def share(first: Floats, frozen: Floats, mended: Floats) -> Floats:
        opened = first - frozen
        return np.where(opened > LEAST_GAP, (mended - frozen) / np.maximum(opened, LEAST_GAP), np.nan)

    return _share(bootstrap_of([[then], [now, arm]], share))


def _share(found: Interval) -> str:
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
