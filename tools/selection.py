"""From nominations to a sample: one budget, shares by agent, no duplicates, lists rather than lone pairs.

1. Each agent has its share of the budget. It opens queries by greedy k-center over the embeddings of the
   queries it nominated from, so that a share is spread over different queries rather than over the top of one
   score. A query that is opened brings `list_size` pairs: the agent's nominations, then the pairs that the
   model ranks highest. Training compares pairs within a query, and a lone pair has nothing to be compared with.
2. What an agent cannot use goes to the others, by their shares.
3. What nominations cannot fill is filled by uncertainty, in lists of `list_size` spread over queries.

A pair that is labelled, taken, or whose document is nearly that of a taken pair of the same query is passed
over. `per_query` bounds the pairs of a query, and is lifted only where the budget could not be spent otherwise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from serm.relevance_model.base import FloatArray
from serm.tools.desk import Ints, MiningDesk
from serm.tools.quotas import shared_out

FILL = "fill"  # in the place of an agent where the budget was filled up by uncertainty
RANDOM = "random"


def select(nominations: pd.DataFrame, desk: MiningDesk, budget: int) -> pd.DataFrame:
    """Choose at most `budget` pairs: the window's columns, with agent, agents, score and reason.

    `agent` is whose share a pair used (or fill, or random); `agents` are all that nominated it, joined by commas
    ("" for one that came along with its query); `score` is the first one's score (NaN without one), `reason` all
    their reasons. Rows are in the window's order. Nothing labelled and no pair twice, whatever was nominated.
    """
    if desk.settings.choice == "random":
        rows = random_rows(desk, budget)
        return _table(desk, dict.fromkeys(rows.tolist(), RANDOM), {})
    merged = _merged(nominations, desk)
    picker = _Picker(desk, budget)
    shares = {name: share for name, share in desk.settings.agents.items() if share > 0}
    queues = {name: _queue(desk, name, merged, budget) for name in shares}
    waiting = {name: queue for name, queue in queues.items() if queue}
    while waiting and picker.left:
        quotas = shared_out(picker.left, {name: shares[name] for name in waiting})
        used = {
            name: picker.take(name, queue, quotas[name]) for name, queue in waiting.items() if quotas[name]
        }
        if not any(used.values()):
            break
        waiting = {name: queue for name, queue in waiting.items() if queue}
    picker.fill(_by_uncertainty(desk, picker.taken))
    picker.fill(_by_uncertainty(desk, picker.taken), capped=False)
    return _table(desk, picker.taken, merged)


def random_rows(desk: MiningDesk, budget: int) -> Ints:
    """Unlabelled rows drawn uniformly: the baseline that mining has to beat."""
    free = np.flatnonzero(desk.unlabelled)
    rng = np.random.default_rng([desk.seed, 1])
    return np.sort(rng.choice(free, min(budget, len(free)), replace=False))


@dataclass(frozen=True, slots=True)
class _Nominated:
    agents: tuple[str, ...]
    scores: tuple[float, ...]
    reasons: tuple[str, ...]


def _merged(nominations: pd.DataFrame, desk: MiningDesk) -> dict[int, _Nominated]:
    """Row of the window -> all that was said of it. Pairs that are labelled or not of this window are left out."""
    found: dict[int, _Nominated] = {}
    columns = (nominations[name] for name in ("query_id", "doc_id", "agent", "score", "reason"))
    for query_id, doc_id, agent, score, reason in zip(*columns, strict=True):
        row = desk.row_of.get((query_id, doc_id))  # type: ignore[call-overload]
        if row is None or not desk.unlabelled[row]:
            continue
        said = found.get(row, _Nominated((), (), ()))
        if agent not in said.agents:
            found[row] = _Nominated(
                (*said.agents, agent), (*said.scores, float(score)), (*said.reasons, str(reason))
            )
    return found


def _queue(desk: MiningDesk, agent: str, merged: Mapping[int, _Nominated], limit: int) -> deque[list[int]]:
    """An agent's nominations in the order in which it would like them: lists of new queries, then single pairs."""
    mine = {
        row: said.scores[said.agents.index(agent)] for row, said in merged.items() if agent in said.agents
    }
    by_query: dict[int, list[int]] = {}
    for row in sorted(mine, key=lambda row: (-mine[row], row)):
        by_query.setdefault(int(desk.query_index[row]), []).append(row)
    size = desk.settings.list_size
    queries = np.fromiter(by_query, dtype=np.int64, count=len(by_query))  # the best-scored first
    order = queries[k_center(desk.query_embeddings[queries], limit)].tolist() if len(queries) else []
    opened = [by_query[query][:size] for query in order]
    further = sorted((row for rows in by_query.values() for row in rows[size:]), key=lambda r: (-mine[r], r))
    return deque([*opened, *([row] for row in further)])


def k_center(vectors: FloatArray, limit: int) -> Ints:
    """Greedy k-center: from the first of n unit vectors on, each next one is the farthest from those before.

    The first `limit` at most; memory is linear in n.
    """
    n = len(vectors)
    order = np.zeros(min(n, limit), dtype=np.int64)
    nearest = np.full(n, np.inf)
    for step in range(1, len(order)):
        nearest = np.minimum(nearest, 1.0 - vectors @ vectors[order[step - 1]])
        nearest[order[step - 1]] = -np.inf
        order[step] = int(np.argmax(nearest))
    return order


def _by_uncertainty(desk: MiningDesk, taken: Iterable[int]) -> Iterable[int]:
    """Free rows: every query's next `list_size` most uncertain ones, the most uncertain query first; again."""
    free = desk.unlabelled.copy()
    have = np.zeros(len(desk.query_embeddings), dtype=np.int64)
    chosen = np.fromiter(taken, dtype=np.int64)
    free[chosen] = False
    np.add.at(have, desk.query_index[chosen], 1)
    rows = np.flatnonzero(free)
    rows = rows[np.lexsort((rows, -desk.entropy[rows], desk.query_index[rows]))]
    query = desk.query_index[rows]
    first = np.r_[True, query[1:] != query[:-1]] if len(rows) else np.zeros(0, dtype=bool)
    starts = np.maximum.accumulate(np.where(first, np.arange(len(rows)), 0))
    place = np.arange(len(rows)) - starts + have[query]
    best = desk.entropy[rows][starts] if len(rows) else np.zeros(0)
    order = np.lexsort((place, query, -best, place // desk.settings.list_size))
    return [int(row) for row in rows[order]]


class _Picker:
    """Takes rows one by one, and passes over those that may not be taken."""

    def __init__(self, desk: MiningDesk, budget: int) -> None:
        self.taken: dict[int, str] = {}  # row: whose share it used
        self._desk, self._budget = desk, budget
        self._of_query: dict[int, list[int]] = {}
        self._by_query, self._starts = _grouped(desk)

    @property
    def left(self) -> int:
        return self._budget - len(self.taken)

    def take(self, agent: str, queue: deque[list[int]], quota: int) -> int:
        """Take up to `quota` pairs from the front of `queue`, each list with company; returns how many."""
        before = len(self.taken)
        stop = before + min(quota, self.left)
        while queue and len(self.taken) < stop:
            rows = queue[0]
            query = int(self._desk.query_index[rows[0]])
            while rows and len(self.taken) < stop:
                self._add(rows.pop(0), agent)
            if rows:
                break
            queue.popleft()
            self._keep_company(query, agent, stop)
        return len(self.taken) - before

    def fill(self, rows: Sequence[int], *, capped: bool = True) -> None:
        for row in rows:
            if not self.left:
                break
            self._add(row, FILL, capped=capped)

    def _keep_company(self, query: int, agent: str, stop: int) -> None:
        """Bring a query up to `list_size` pairs with those that the model ranks highest."""
        if query not in self._of_query:
            return
        for row in self._by_query[self._starts[query] : self._starts[query + 1]].tolist():
            if len(self.taken) >= stop or len(self._of_query[query]) >= self._desk.settings.list_size:
                break
            self._add(row, agent)

    def _add(self, row: int, agent: str, *, capped: bool = True) -> None:
        desk = self._desk
        others = self._of_query.setdefault(int(desk.query_index[row]), [])
        if row in self.taken or not desk.unlabelled[row]:
            return
        if capped and len(others) >= desk.settings.per_query:
            return
        if others:
            index = desk.document_index
            likeness = desk.document_embeddings[index[others]] @ desk.document_embeddings[index[row]]
            if float(likeness.max()) >= desk.settings.near_duplicate:
                return
        others.append(row)
        self.taken[row] = agent


def _grouped(desk: MiningDesk) -> tuple[Ints, Ints]:
    """All rows by query, the best-ranked first, and where each query starts among them (queries + 1,)."""
    rows = np.lexsort((-desk.scores.expected, desk.query_index))
    return rows, np.searchsorted(desk.query_index[rows], np.arange(len(desk.query_embeddings) + 1))


def _table(desk: MiningDesk, taken: Mapping[int, str], merged: Mapping[int, _Nominated]) -> pd.DataFrame:
    rows = sorted(taken)
    said = [merged.get(row, _Nominated((), (), ())) for row in rows]
    frame = desk.window.iloc[rows].reset_index(drop=True)
    return frame.assign(
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
