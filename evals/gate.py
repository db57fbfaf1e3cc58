"""The gate: may the challenger take the champion's place? Decided on human grades that no judge has touched.

The rule, on the gate queries with more than one grade, of the paired change in NDCG@4 (one text under several
ids is one query, by the mean of its changes):

1. the one-sided lower bound (`gate.level`, bootstrap over queries) of the mean is above minus `gate.margin`;
2. and the mean on the newest window's queries is above 0.

With `gate.judged_share` both means come from human grades and those of a panel together, on queries that it
alone has graded (evals/judged_gate.py), and the bound is Student's t; where the panel's grades are of no use,
or people have graded too few queries to tell, human grades alone decide as ever.

Choices where the rule is silent: a newest window without a measurable gate query leaves the second half to
the mean over all gate queries, and the reasons say so; with fewer than two queries nothing is promoted.
A language or a window decides nothing, unless `gate.slice_veto` is on: then one of at least `gate.min_slice`
queries vetoes when the upper bound of its change is below minus the margin. That it fell is always said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.records import Decision, Interval, JudgedShare
from serm.core.settings_loop import GateSettings
from serm.evals.bootstrap import detectable, mean_interval, queries_needed
from serm.evals.grades import always_commonest, grade_measures, query_sums
from serm.evals.judged_gate import JudgedGate, TooFew, powered_change
from serm.evals.listed import WindowRows, rows_by_window
from serm.evals.measures import CUTOFFS, ndcg_column, per_query
from serm.evals.prediction_powered import PredictionPowered
from serm.evals.same_text import mean_by_text, texts_of
from serm.relevance_model.base import Scores

CUTOFF: Final = 4
_IN_SAMPLE: Final = (
    "grade measures are in-sample: the challenger's probabilities were fitted to all of these rows, the "
    "champion's to those that were open when it was trained"
)
_DIGITS: Final = 12  # of a change in NDCG: less is the rounding of two ways to the same sum


def decide(
    gate: pd.DataFrame,
    champion: Scores,
    challenger: Scores,
    *,
    settings: GateSettings,
    newest_window: int,
    looks: int,
    seed: int,
    asked: WindowRows | None = None,
    judged: JudgedGate | TooFew | None = None,
) -> Decision:
    """Promote or roll back, with the evidence.

    `gate` has the opened gate pairs (n rows: query_id, doc_id, grade, language, window), both `Scores` are
    of its rows, and rank by what was not fitted to them; `newest_window` is the value of `window` that this
    round opened; `looks` counts the gate's decisions so far, this one included; `asked` are the rows that
    each window's lists hold (None: a row is of its `window` alone); `judged` is what a panel's
    grades say of the gate's queries and of further ones. Never raises for too little evidence: that is a
    roll-back.
    """
    every, by_window = _paired(gate, champion, challenger), _by_window(gate, champion, challenger, asked)
    newly = by_window.get(newest_window, every.head(0))
    table = every[every["mixed"]].reset_index(drop=True)
    change, newest = human, newest_human = tuple(
        mean_interval(_changes(rows), settings.level, settings.resamples, seed, one_sided=True)
        for rows in (table, newly[newly["mixed"]])
    )
    powered = None
    if isinstance(judged, JudgedGate):
        powered, of_newest = (
            powered_change(rows, changes, settings.level, settings.judged_least)
            for rows, changes in ((every, judged.every), (newly, judged.newest))
        )
        change = powered.interval if powered.weight else human
        newest = of_newest.interval if of_newest.weight else newest_human
    slices = _slices(table, by_window, settings, seed)
    promoted, reasons = _rule(change, newest, settings)
    if powered is not None:
        reasons.append(_of_panel(powered, human, settings))
    if isinstance(judged, TooFew):
        reasons.append(
            f"the panel was not asked: in the windows of its queries people have graded {judged.queries}, "
            f"and its grades count from {settings.judged_least} on"
        )
    reasons += _of_slices(slices, settings)
    if settings.slice_veto and any(_surely_fell(interval, settings) for _, interval in slices):
        promoted = False
    if not settings.enabled:
        promoted = True
        reasons = [
            "the gate is off (gate.enabled: false), so every challenger is promoted",
            *reasons,
        ]
    changes = _changes(table)
    reach = powered.detectable if powered and powered.weight else detectable(changes, settings.level)
    # Changes that are all alike have no spread, which of a few queries says nothing of how far others would.
    alike = bool(len(changes)) and float(np.ptp(changes)) == 0
    underpowered = reach > settings.margin or (alike and len(changes) < settings.min_slice)
    further = _further(changes, powered, settings) if underpowered else 0
    # A query counts once it has two grades; the others are graded, too, before anybody knows.
    pairs_per_query = float(every["pairs"].sum() / len(changes)) if len(changes) else math.nan
    if underpowered:
        reasons.append(_power(reach, further, pairs_per_query, len(changes), settings))
    if alike and not changes[0]:
        reasons.append("the challenger ranks every gate query as the champion does")
    reasons.append(f"look {looks} at the gate")
    return Decision(
        promoted=promoted,
        reasons=tuple(reasons),
        change=change,
        newest=newest,
        margin=settings.margin,
        detectable=reach,
        spread=float(changes.std(ddof=1)) if len(changes) > 1 else math.nan,
        underpowered=underpowered,
        queries_needed=further,
        looks=looks,
        slices=slices,
        grades_needed=round(further * pairs_per_query) if further > 0 else 0,
        champion=_evidence(gate, champion, table, "champion"),
        challenger=_evidence(gate, challenger, table, "challenger"),
        note=_IN_SAMPLE if len(gate) else "",
        judged=_share(powered, human, judged) if powered and isinstance(judged, JudgedGate) else None,
    )


def _paired(gate: pd.DataFrame, champion: Scores, challenger: Scores) -> pd.DataFrame:
    """A row a gate query: champion@k, challenger@k, change (NDCG@4), pairs, mixed, language, window, text."""
    before, after = per_query(gate, champion.expected), per_query(gate, challenger.expected)
    first = gate.drop_duplicates("query_id")
    table = before[["query_id", "pairs", "mixed"]].copy()
    for column, default in (("language", ""), ("window", -1)):
        table[column] = first[column].to_numpy() if column in first else default
    table["text"] = texts_of(first).to_numpy()
    for cutoff in CUTOFFS:
        table[f"champion@{cutoff}"] = before[ndcg_column(cutoff)]
        table[f"challenger@{cutoff}"] = after[ndcg_column(cutoff)]
    table["change"] = (table[f"challenger@{CUTOFF}"] - table[f"champion@{CUTOFF}"]).round(_DIGITS)
    return table


def _changes(rows: pd.DataFrame) -> NDArray[np.float64]:
    """(t,): the change of each text."""
    return mean_by_text(rows["change"], rows["text"])


def _by_window(
    gate: pd.DataFrame, champion: Scores, challenger: Scores, asked: WindowRows | None
) -> dict[int, pd.DataFrame]:
    """The same of each window's lists: a query that is asked again has one in several windows."""
    if "window" not in gate:
        return {}
    found = {}
    for window, rows in (rows_by_window(gate, gate) if asked is None else asked).items():
        parts = (
            Scores(scores.probabilities[rows], scores.expected[rows]) for scores in (champion, challenger)
        )
        found[window] = _paired(gate.iloc[rows].reset_index(drop=True), *parts).assign(window=window)
    return found


def _further(changes: NDArray[np.float64], powered: PredictionPowered | None, settings: GateSettings) -> int:
    """Further human-graded queries that the margin takes; where the judged ones stand in the way, as many as
    it takes without them."""
    if powered and powered.weight and (needed := powered.queries_needed(settings.margin)) >= 0:
        return needed
    return queries_needed(changes, settings.margin, settings.level)


def _share(powered: PredictionPowered, human: Interval, judged: JudgedGate) -> JudgedShare:
    return JudgedShare(
        human, powered.weight, powered.judged, judged.pairs, powered.correlation, powered.worth
    )


def _of_panel(powered: PredictionPowered, human: Interval, settings: GateSettings) -> str:
    what = f"{powered.judged} queries that the panel alone has graded"
    if powered.beside < settings.judged_least:
        return f"{what} do not count: in their windows people have graded {powered.beside}, too few"
    if not powered.weight:
        return f"{what} were of no use: their weight is 0"
    return (
        f"with {what}, weight {powered.weight:.2f}; "
        f"human grades alone: {_points(human.mean)} points, lower bound {_points(human.low)}"
    )


def _rule(change: Interval, newest: Interval, settings: GateSettings) -> tuple[bool, list[str]]:
    if change.n < 2:
        return False, [f"{change.n} gate queries have more than one grade: too few to decide anything on"]
    bound = (
        f"the lower bound ({settings.level:.0%}, one-sided) of the mean change in NDCG@{CUTOFF} over "
        f"{change.n} gate queries is {_points(change.low)} points"
    )
    no_worse = change.low > -settings.margin
    reasons = [f"{bound}, {'above' if no_worse else 'not above'} {_points(-settings.margin)}"]
    if newest.n:
        better = newest.mean > 0
        what = f"on the newest window's {newest.n} gate queries it is {_points(newest.mean)} points"
    else:
        better = change.mean > 0
        what = (
            "the newest window has no gate query with more than one grade, so the mean change over all gate "
            f"queries stands in for it: {_points(change.mean)} points"
        )
    reasons.append(f"{what}, {'above' if better else 'not above'} 0")
    return no_worse and better, reasons


def _slices(
    table: pd.DataFrame, by_window: Mapping[int, pd.DataFrame], settings: GateSettings, seed: int
) -> tuple[tuple[str, Interval], ...]:
    """The change in each language and each window, where there are several of them."""
    measured = {window: rows[rows["mixed"]] for window, rows in by_window.items()}
    parts = {
        "language": {str(name): rows for name, rows in table.groupby("language", sort=True)},
        "window": {
            "seed" if window == -1 else str(window): rows for window, rows in measured.items() if len(rows)
        },
    }
    return tuple(
        (
            f"{column}={name}",
            mean_interval(_changes(rows), settings.level, settings.resamples, seed, one_sided=True),
        )
        for column, slices in parts.items()
        if len(slices) > 1
        for name, rows in slices.items()
    )


def _surely_fell(interval: Interval, settings: GateSettings) -> bool:
    return interval.n >= settings.min_slice and interval.high < -settings.margin


def _of_slices(slices: tuple[tuple[str, Interval], ...], settings: GateSettings) -> list[str]:
    weight = "which vetoes" if settings.slice_veto else "which is shown and decides nothing"
    return [
        f"{name} fell by more than the margin ({_points(interval.mean)} points, n {interval.n}), {weight}"
        for name, interval in slices
        if _surely_fell(interval, settings)
    ]


def _power(reach: float, further: int, pairs: float, n: int, settings: GateSettings) -> str:
    if further < 0 or not math.isfinite(pairs):
        return f"underpowered: {n} gate queries say nothing of how far changes spread"
    if further == 0:
        return f"underpowered: all of {n} gate queries changed alike, and so few do not tell how others would"
    return (
        f"underpowered: a change under {_points(reach)} points would go unseen (margin "
        f"{_points(settings.margin)}); it takes {further} more gate queries, about {round(further * pairs)} "
        "human grades"
    )


def _evidence(
    gate: pd.DataFrame, scores: Scores, table: pd.DataFrame, who: str
) -> tuple[tuple[str, float], ...]:
    """NDCG over the mixed gate queries; the grade measures, and the commonest grade's, over all of them."""
    if gate.empty:
        return ()
    values = {ndcg_column(cutoff): float(table[f"{who}@{cutoff}"].mean()) for cutoff in CUTOFFS}
    sums = query_sums(gate, scores.probabilities)
    values |= grade_measures(sums)
    _, commonest = always_commonest(sums)
    values |= {f"commonest_{name}": value for name, value in commonest.items()}
    return tuple(values.items())


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"
