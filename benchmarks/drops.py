"""How far the passing of time takes a model down, and how much of that an arm makes good."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from serm.benchmarks.arms import EVOLVING, LEVEL, RESAMPLES, Floats, Mask, Results
from serm.benchmarks.collect import reports
from serm.core.records import Interval
from serm.evals.tables import NOTHING, Cells

LEAST_GAP = 0.01  # NDCG: a smaller gap is none that could be closed; chosen


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
        if len(after) > 1:
            slices |= {name: (before[name], mask) for name, mask in after.items() if name in before}
    headers = ("arm", *slices)
    frozen = {name: results.of(results.ours, name, role="frozen") for name in (static, last)}
    gaps = [
        _percent(_kept(frozen[static], first), _kept(frozen[last], then), None)
        for first, then in slices.values()
    ]
    rows = [("gap in points", *gaps)]
    for arm in results.arms:
        now = results.of(arm, last)
        rows.append(
            (
                arm,
                *(
                    _percent(_kept(frozen[static], first), _kept(frozen[last], then), _kept(now, then))
                    for first, then in slices.values()
                ),
            )
        )
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


def _percent(now: Floats, later: Floats, arm: Floats | None) -> str:
    gap = float(np.nanmean(now) - np.nanmean(later))
    if arm is None:
        found = bootstrap_of([[now], [later]], lambda a, b: a - b)
        return f"{100 * found.mean:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"
    if not gap > LEAST_GAP:
        return NOTHING
    return _share(bootstrap_of([[now], [later, arm]], lambda a, b, c: (c - b) / np.maximum(a - b, 1e-9)))


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
