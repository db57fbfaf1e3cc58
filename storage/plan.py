"""The plan of a data set: for every row its set, its window and its tests. Pure over keys (see assign.py)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.hashing import unit_interval
from serm.core.records import Reject
from serm.core.settings_data import DataSettings, TestRule
from serm.storage.assign import (
    GATE,
    NONE,
    SEED,
    SETS,
    STREAM,
    TEST,
    Codes,
    Mask,
    assign_sets,
    conflicts,
    matches,
)
from serm.storage.repeats import Repeats, all_but_one, find_repeats
from serm.storage.windows import Cut, cut_windows, held_back, keep_windows

NO_SET = "no set takes the row"
NO_WINDOW = "no window takes the stream row"
NO_GRADE = "a seed, gate or test row without a grade"
SPENT = "a stream row whose query went into the seed"
HELD = "its window is not over yet (data.windows.open: hold)"
ELSEWHERE = "a pair of the gate that it has of another window, too"
_JUDGED: Final = "judged only"


@dataclass(frozen=True)
class Plan:
    """Masks and codes of n rows; the four sets are disjoint by query."""

    seed: Mask
    gate: Mask
    stream: Mask  # rows that stand in a window, to be mined
    judged: Mask  # rows that stand in a window and are kept for the panel to grade for the gate
    graded: Mask
    windows: tuple[str, ...]  # names, in the order in which they open
    window: Codes  # of stream, judged and gate rows and their lists; -1: none
    opens: Codes  # of gate rows: the window they open with; -1: open from the start
    gate_lists: Mask  # rows of the gate's queries, graded or not, a pair once a window
    judged_lists: Mask  # of the judged ones likewise
    tests: tuple[tuple[TestRule, NDArray[np.int64]], ...]  # with the numbers of its rows: tests may be many
    repeats: Repeats  # rows of pairs that another row stands for: none of them is in a mask
    left_out: dict[str, int]  # good rows that nothing takes, by reason
    rejects: tuple[Reject, ...] = field(repr=False)  # rows whose query a stricter set keeps


def plan(keys: pd.DataFrame, data: DataSettings, judged_share: float = 0.0) -> Plan:
    """Decide where every row goes; `judged_share` is as in `gate.judged_share`.

    Raises ConfigError where a window's period is no duration.
    """
    ruled = assign_sets(keys, data.sets)
    clash, owner = conflicts(keys, ruled)
    sets = np.where(clash, NONE, ruled)
    waits = held_back(keys, data.windows, sets == STREAM) & np.isin(sets, (GATE, STREAM, TEST))
    sets[waits] = NONE
    graded = keys["graded"].to_numpy(bool)
    seed, stream, gate = (sets == SEED) & graded, sets == STREAM, (sets == GATE) & graded
    of_gate = sets == GATE
    cut = cut_windows(keys, data.windows, stream, of_gate)  # rows without a grade are of a window, too
    places = np.where(stream, NONE, sets)
    spent = np.zeros(len(keys), dtype=bool)
    if not (ruled == SEED).any() and not any(rule.set == "seed" for rule in data.sets) and cut.names:
        seed, spent = _seed_from_the_first_window(keys, cut, stream & graded, stream)
        places[stream & (seed | spent) & (cut.of_row == 0)] = SEED
        stream &= ~spent & ~seed
        cut = keep_windows(cut, stream & (cut.of_row > 0))
    judged = _by_share(keys, stream, judged_share)
    if judged.any():
        stream &= ~judged
        cut = keep_windows(cut, stream)  # a window of judged queries alone has nothing to mine
    inside, judged = stream & (cut.of_row != NONE), judged & (cut.of_row != NONE)
    test = (sets == TEST) & graded
    places[inside | judged] = STREAM
    taken = inside | judged | seed | gate | test
    repeats = find_repeats(keys, _once(places, cut.of_row), taken)
    for mask in (inside, judged, seed, gate, test):
        mask[repeats.rows] = False
    gate_lists, judged_lists = _lists(keys, of_gate, gate, cut.of_row, repeats), judged.copy()
    others = all_but_one(keys, judged | gate, cut.of_row)  # no query is of both
    judged, gate = judged & ~others, gate & ~others
    added = np.zeros(len(keys), dtype=bool)
    added[repeats.again] = True
    opens = np.where(gate, cut.of_row, NONE).astype(np.int32)
    if data.seed_gate is not None:
        opens[matches(data.seed_gate, keys)] = NONE
    left_out = {
        NO_SET: int((ruled == NONE).sum()),
        NO_WINDOW: int((stream & (cut.of_row == NONE)).sum()),
        NO_GRADE: int((np.isin(sets, (SEED, GATE, TEST)) & ~graded & ~added).sum()),
        SPENT: int((spent & ~added).sum()),
        HELD: int(waits.sum()),
        ELSEWHERE: int(others.sum()),
    }
    return Plan(
        seed=seed,
        gate=gate,
        stream=inside,
        judged=judged,
        graded=graded,
        windows=cut.names,
        window=np.where(inside | judged_lists | gate_lists, cut.of_row, NONE).astype(np.int32),
        opens=opens,
        gate_lists=gate_lists,
        judged_lists=judged_lists,
        tests=tuple(
            (rule, np.flatnonzero(test & matches(rule.when, keys)))
            for rule in data.tests or (TestRule(name="test"),)
        ),
        repeats=repeats,
        left_out={reason: count for reason, count in left_out.items() if count},
        rejects=_rejects(keys, clash, ruled, owner),
    )


def _once(places: Codes, of_row: Codes) -> Codes:
    """What a pair stands in once: a window of the stream or of the gate, the seed, the tests; -1: nowhere.

    `places` (n,): the set of a row; `of_row`: its window.
    """
    beyond = np.int32(len(places))  # there are no more windows than rows
    once = np.where(places == STREAM, of_row, NONE).astype(np.int32)
    once[places == SEED], once[places == TEST] = beyond, beyond + 1
    once[places == GATE] = beyond + 3 + of_row[places == GATE]
    return once


def _lists(keys: pd.DataFrame, of_gate: Mask, gate: Mask, of_row: Codes, repeats: Repeats) -> Mask:
    """What was shown for the gate's queries: of all rows of a query that has a grade each pair once a window,
    the row with a grade where there is one. (n,) bool."""
    queries = keys["query_id"].cat.codes.to_numpy()
    listed = of_gate & np.isin(queries, np.unique(queries[gate]))
    listed[repeats.rows] = False
    rows = np.flatnonzero(listed)
    rows = rows[np.argsort(keys["grade"].to_numpy()[rows] < 0, kind="stable")]
    table = pd.DataFrame({"pair": keys["pair"].to_numpy()[rows], "window": of_row[rows]})
    listed[rows[table.duplicated().to_numpy(bool)]] = False
    return listed


def _by_share(keys: pd.DataFrame, stream: Mask, share: float) -> Mask:
    """All stream rows of a share of the queries, by the hash of their id: a stream that grows keeps them."""
    if share <= 0:
        return np.zeros(len(keys), dtype=bool)
    chosen = np.array([unit_interval(_JUDGED, name) < share for name in keys["query_id"].cat.categories])
    return np.asarray(stream & chosen[keys["query_id"].cat.codes.to_numpy()], dtype=bool)


def _seed_from_the_first_window(
    keys: pd.DataFrame, cut: Cut, graded_stream: Mask, stream: Mask
) -> tuple[Mask, Mask]:
    """Its graded rows are the seed; what else there is of the window, and of its queries later, is spent."""
    first = stream & (cut.of_row == 0)
    seed = first & graded_stream
    queries = keys["query_id"].cat.codes
    same_query = queries.isin(queries[seed].unique()).to_numpy(bool)
    return seed, stream & ~seed & (first | same_query)


def _rejects(keys: pd.DataFrame, clash: Mask, ruled: Codes, owner: Codes) -> tuple[Reject, ...]:
    """They may be millions: the texts of all are the same few."""
    files, rows = keys["file"].astype("category")[clash].astype(object), keys["row"][clash]
    reasons = {
        (own, kept): f"its query stands in the sets {SETS[kept]} and {SETS[own]}: {SETS[kept]} keeps it"
        for own in np.unique(ruled[clash]).tolist()
        for kept in np.unique(owner[clash]).tolist()
    }
    places = zip(ruled[clash].tolist(), owner[clash].tolist(), strict=True)
    return tuple(
        Reject(file, row, "query_id", reasons[place])
        for file, row, place in zip(files, rows.tolist(), places, strict=True)
    )
