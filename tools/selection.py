"""From nominations to a sample: one budget, shares by agent, no duplicates, many queries.

1. Each agent has its share of the budget. It opens the queries that it nominated from in an order that
   spreads them (tools/diversity.py), so that a share goes to different queries instead of the top of one
   score. A query that is opened brings `list_size` pairs: the agent's nominations, then the pairs that the
   model ranks highest. One by default, which reaches the most queries; training compares pairs within a
   query, so that more are worth a try where a window has few queries.
2. What an agent cannot use goes to the others, by their shares.
3. What nominations cannot fill is filled by uncertainty, in lists of `list_size` spread over queries.

A pair is passed over if it is labelled or taken, if a taken pair says the same (tools/duplicates.py), or if a
floor needs its place (tools/floors.py). `per_query` bounds the pairs of a query; it is lifted only where the
budget could not be spent otherwise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from serm.core.columns import KEY
from serm.core.records import PairKey
from serm.tools.desk import Ints, MiningDesk
from serm.tools.diversity import ORDERS
from serm.tools.picker import Picker
from serm.tools.quotas import shared_out

SPREAD: Final = 2_000
"""Queries of an agent that are put in an order that spreads them, the rest by score: the order takes time
quadratic in them, and after so many each next one lies beside another. Chosen."""
FILL = "fill"  # in the place of an agent where the budget was filled up by uncertainty
RANDOM = "random"


def select(
    nominations: pd.DataFrame, desk: MiningDesk, budget: int, shares: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Choose at most `budget` pairs: the window's columns, with agent, agents, score and reason.

    `shares` are the agents' of the budget, None: those of the desk's settings.
    `agent` is whose share a pair used (or fill, or random). `agents` are all that nominated it, joined by
    commas ("" for one that came along with its query), `score` is the first one's score (NaN without one),
    `reason` all their reasons. Rows are in the window's order. Nothing labelled and no pair twice, whatever
    was nominated.
    """
    if desk.settings.choice == "random":
        return _table(desk, dict.fromkeys(random_rows(desk, budget).tolist(), RANDOM), {})
    merged = _merged(nominations, desk)
    picker = Picker(desk, budget)
    given = desk.settings.agents if shares is None else shares
    parts = {str(name): share for name, share in given.items() if share > 0}
    waiting = {name: _queue(desk, name, merged, min(budget, SPREAD)) for name in parts}
    while picker.left and (waiting := {name: queue for name, queue in waiting.items() if queue}):
        quotas = shared_out(picker.left, {name: parts[name] for name in waiting})
        for name, queue in waiting.items():  # each uses its quota up or empties its queue, so this ends
            picker.take(name, queue, quotas[name])
    _fill_up(picker, desk)
    if picker.floors.outstanding:
        picker.floors.waive()  # what is owed to a group whose pairs are all duplicates goes to the others
        _fill_up(picker, desk)
    return _table(desk, picker.taken, merged)


def _fill_up(picker: Picker, desk: MiningDesk) -> None:
    for capped in (True, False):
        if picker.left:
            picker.fill(_by_uncertainty(desk, list(picker.taken)), FILL, capped=capped)


def random_rows(desk: MiningDesk, budget: int) -> Ints:
    """Unlabelled rows drawn uniformly: the baseline that mining has to beat."""
    free = np.flatnonzero(desk.unlabelled)
    rng = np.random.default_rng([desk.seed, 1])
    return np.sort(rng.choice(free, min(budget, len(free)), replace=False))


@dataclass(frozen=True, slots=True)
class _Nominated:
    agents: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    reasons: tuple[str, ...] = ()


def _merged(nominations: pd.DataFrame, desk: MiningDesk) -> dict[int, _Nominated]:
    """Row of the window -> all that was said of it; without labelled pairs and pairs of no window."""
    found: dict[int, _Nominated] = {}
    if nominations.empty:
        return found
    keys = [PairKey(*key) for key in nominations[list(KEY)].itertuples(index=False, name=None)]
    row_of = desk.rows_of(keys)
    columns = (nominations[name].tolist() for name in ("agent", "score", "reason"))
    for key, agent, score, reason in zip(keys, *columns, strict=True):
        row = row_of.get(key)
        if row is None or not desk.unlabelled[row]:
            continue
        said = found.get(row, _Nominated())
        if agent not in said.agents:
            found[row] = _Nominated(
                (*said.agents, agent), (*said.scores, float(score)), (*said.reasons, str(reason))
            )
    return found


def _queue(desk: MiningDesk, agent: str, merged: Mapping[int, _Nominated], limit: int) -> deque[list[int]]:
    """An agent's nominations in the order of its wishes: a list for each query, then what is left over."""
    scores = {
        row: said.scores[said.agents.index(agent)] for row, said in merged.items() if agent in said.agents
    }
    by_query: dict[int, list[int]] = {}  # queries and their rows: the best-scored first
    for row in sorted(scores, key=lambda row: (-scores[row], row)):
        by_query.setdefault(int(desk.query_index[row]), []).append(row)
    queries = np.fromiter(by_query, dtype=np.int64, count=len(by_query))
    spread = queries[ORDERS[desk.settings.diversity](desk.query_embeddings[queries], limit)].tolist()
    size = desk.settings.list_size
    opened = [by_query[query][:size] for query in dict.fromkeys([*spread, *by_query])]
    further = [row for rows in by_query.values() for row in rows[size:]]
    return deque([*opened, *([row] for row in sorted(further, key=lambda row: (-scores[row], row)))])


def _by_uncertainty(desk: MiningDesk, taken: list[int]) -> Ints:
    """Free rows: each query's first `list_size` pairs, the most uncertain query first, then the next ones.

    Pairs that a query already has in the sample count, so that full lists come after short ones.
    """
    free = desk.unlabelled.copy()
    free[taken] = False
    have = np.bincount(desk.query_index[taken], minlength=len(desk.query_embeddings))
    rows = np.flatnonzero(free)
    if not len(rows):
        return rows
    rows = rows[np.lexsort((-desk.entropy[rows], desk.query_index[rows]))]
    query = desk.query_index[rows]
    starts = np.searchsorted(query, query)  # where each row's query begins
    level = (np.arange(len(rows)) - starts + have[query]) // desk.settings.list_size
    order = np.lexsort((np.arange(len(rows)), query, -desk.entropy[rows][starts], level))
    return rows[order]


def _table(desk: MiningDesk, taken: Mapping[int, str], merged: Mapping[int, _Nominated]) -> pd.DataFrame:
    rows = sorted(taken)
    said = [merged.get(row, _Nominated()) for row in rows]
    return desk.pairs(np.asarray(rows, dtype=np.int64)).assign(
        agent=[taken[row] for row in rows],
        agents=[",".join(item.agents) for item in said],
        score=[item.scores[0] if item.scores else float("nan") for item in said],
        reason=[
            "; ".join(f"{agent}: {reason}" for agent, reason in zip(item.agents, item.reasons, strict=True))
            or _UNASKED.get(taken[row], f"company for a pair that {taken[row]} nominated")
            for row, item in zip(rows, said, strict=True)
        ],
    )


_UNASKED = {FILL: "uncertain, to fill the budget", RANDOM: "drawn at random"}
