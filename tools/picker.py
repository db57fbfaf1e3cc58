"""Takes pairs into a sample one by one, and passes over those that may not be taken."""

from __future__ import annotations

from collections import deque

import numpy as np

from serm.tools.desk import Ints, MiningDesk
from serm.tools.duplicates import TakenPairs
from serm.tools.floors import floors_of


class Picker:
    """A sample in the making. `taken` maps a row of the window to whose share of the budget it used."""

    def __init__(self, desk: MiningDesk, budget: int) -> None:
        self.taken: dict[int, str] = {}
        self.floors = floors_of(desk, budget)
        self._desk, self._budget = desk, budget
        self._pairs = TakenPairs(desk)
        self._of_query: dict[int, int] = {}  # pairs taken
        self._ranked, self._starts = _by_query(desk)

    @property
    def left(self) -> int:
        return self._budget - len(self.taken)

    def take(self, agent: str, queue: deque[list[int]], quota: int) -> None:
        """Take up to `quota` pairs from the front of `queue`, each list with company, until it is empty."""
        stop = len(self.taken) + min(quota, self.left)
        while queue and len(self.taken) < stop:
            rows = queue[0]
            query = int(self._desk.query_index[rows[0]])
            while rows and len(self.taken) < stop:
                self._add(rows.pop(0), agent)
            if not rows:
                queue.popleft()
                self._keep_company(query, agent, stop)

    def fill(self, rows: Ints, name: str, *, capped: bool) -> None:
        """Take `rows` in their order until the budget is spent."""
        for row in map(int, rows):
            if not self.left:
                break
            self._add(row, name, capped=capped)

    def _keep_company(self, query: int, agent: str, stop: int) -> None:
        """Bring a query that is in up to `list_size` pairs with those that the model ranks highest."""
        if query not in self._of_query:
            return
        for row in self._ranked[self._starts[query] : self._starts[query + 1]].tolist():
            if len(self.taken) >= stop or self._of_query[query] >= self._desk.settings.list_size:
                break
            self._add(row, agent)

    def _add(self, row: int, name: str, *, capped: bool = True) -> None:
        desk = self._desk
        if row in self.taken or not desk.unlabelled[row] or not self.floors.allow(row, self.left):
            return
        if not self._pairs.add(row, desk.settings.per_query if capped else None):
            return
        query = int(desk.query_index[row])
        self._of_query[query] = self._of_query.get(query, 0) + 1
        self.floors.took(row)
        self.taken[row] = name


def _by_query(desk: MiningDesk) -> tuple[Ints, Ints]:
    """All rows by query, the best-ranked first, and where each query starts among them (queries + 1,)."""
    rows = np.lexsort((-desk.scores.expected, desk.query_index))
    return rows, np.searchsorted(desk.query_index[rows], np.arange(len(desk.query_embeddings) + 1))
