"""What the miner's agents work on: one window with its scores and vectors, and each agent's own notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from langchain_core.tools import ToolException
from numpy.typing import NDArray

from serm.core.columns import KEY
from serm.core.records import Nomination, PairKey
from serm.core.settings_miner import MinerSettings
from serm.relevance_model.base import FloatArray, Scores
from serm.tools.density import density, novelty
from serm.tools.exposure import thinned_now
from serm.tools.query_sample import Outputs, QuerySample, query_means
from serm.tools.strata import frequencies, logged_frequencies, strata
from serm.tools.uncertainty import entropy

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class MiningDesk:
    """One window as the agents see it. Read-only; rows are numbered as in `window`, 0 to n - 1."""

    window: pd.DataFrame  # pairs frame without grades, n rows
    scores: Scores  # of those rows
    query_embeddings: FloatArray  # (unique queries, d), unit vectors
    query_index: Ints  # (n,): the row of query_embeddings that belongs to a pair
    document_embeddings: FloatArray  # (unique documents, d), unit vectors
    document_index: Ints  # (n,)
    reference: QuerySample  # queries of the windows before, and of the seed
    stochastic: Callable[[Ints], FloatArray]  # rows (k,) -> grade distributions (passes, k, 4) under dropout
    committee: Callable[[Ints], FloatArray] | None = None
    """Rows (k,) -> expected grades (members, k) of the current, the previous and the base model."""
    labelled: frozenset[PairKey] = frozenset()  # never nominated again
    held_out: NDArray[np.bool_] | None = None
    """(unique queries,): those that read like a held-out query. A label of theirs would be paid for and never
    trained on."""
    settings: MinerSettings = field(default_factory=MinerSettings)
    seed: int = 0

    @cached_property
    def entropy(self) -> FloatArray:
        """(n,) nats."""
        return entropy(self.scores.probabilities)

    @cached_property
    def unlabelled(self) -> NDArray[np.bool_]:
        """(n,): the pairs that may be nominated."""
        free = np.ones(len(self.window), dtype=bool)
        if self.held_out is not None:
            free &= ~self.held_out[self.query_index]
        free[[row for _, row in self._found(self.labelled)]] = False
        return free

    @cached_property
    def row_of(self) -> dict[PairKey, int]:
        keys = zip(self.window["query_id"], self.window["doc_id"], strict=True)
        return {PairKey(*key): row for row, key in enumerate(keys)}

    def rows_of(self, keys: Iterable[PairKey]) -> dict[PairKey, int]:
        """The rows of those pairs that the window has."""
        return dict(self._found(frozenset(keys)))

    def _found(self, wanted: frozenset[PairKey]) -> list[tuple[PairKey, int]]:
        """Without an object for each row of the window."""
        if not wanted:
            return []
        rows = np.flatnonzero(self.window["doc_id"].isin({key.doc_id for key in wanted}).to_numpy())
        rows = rows[self.window["query_id"].iloc[rows].isin({key.query_id for key in wanted}).to_numpy()]
        named = zip(self.keys(rows), rows.tolist(), strict=True)
        return [(key, row) for key, row in named if key in wanted]

    def keys(self, rows: Ints) -> list[PairKey]:
        """The names of some pairs."""
        columns = (self.window[name].iloc[rows].tolist() for name in KEY)
        return [PairKey(str(query), str(document)) for query, document in zip(*columns, strict=True)]

    def pairs(self, rows: Ints) -> pd.DataFrame:
        """Some rows as a pairs frame of their own: texts that the window holds coded are plain there."""
        frame = self.window.iloc[rows].reset_index(drop=True)
        coded = frame.columns[[isinstance(kind, pd.CategoricalDtype) for kind in frame.dtypes]]
        return frame.astype(dict.fromkeys(coded, "str"))

    def most_uncertain(self, size: int) -> Ints:
        """The `size` unlabelled rows of highest entropy, the highest first: from scores that are there."""
        free = np.flatnonzero(self.unlabelled)
        return free[np.argsort(-self.entropy[free], kind="stable")[:size]]

    @cached_property
    def current(self) -> QuerySample:
        """The window's queries, in the order of `query_embeddings`."""
        rows = np.zeros(len(self.query_embeddings), dtype=np.int64)
        rows[self.query_index[::-1]] = np.arange(len(self.window))[::-1]  # the first row of each
        times = logged_frequencies(self.window, self.query_index, len(rows))
        return QuerySample(
            self.query_embeddings,
            names=[str(text) for text in self.window["query"].iloc[rows]],
            languages=[str(name) for name in self.window["language"].iloc[rows]],
            outputs=lambda: Outputs(
                query_means(self.scores.probabilities, self.query_index, len(rows)), times
            ),
            counts=thinned_now(times, self.reference.requests, seed=self.seed),
        )

    @property
    def query_names(self) -> Sequence[str]:
        """The text of each row of `query_embeddings`."""
        return self.current.names

    @cached_property
    def query_strata(self) -> NDArray[np.str_]:
        """(queries,): head, torso or tail."""
        return strata(frequencies(self.window, self.query_index, len(self.query_embeddings)))

    @cached_property
    def query_density(self) -> NDArray[np.float64]:
        """(queries,): 0 for a query that stands alone, 1 for one in a crowd."""
        return density(self.query_embeddings, seed=self.seed)

    @cached_property
    def query_novelty(self) -> NDArray[np.float64]:
        """(queries,): 0 for a query that was there before, 1 for one unlike any. Among very many earlier ones
        the nearest is looked for in a part of them (graphs/reference.py)."""
        found = novelty(self.query_embeddings, self.reference.embeddings)
        if self.reference.every is not None:
            before = self.reference.every()
            found[[name in before for name in self.query_names]] = 0.0
        return found

    def weighed(self, rows: Ints, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Doubts of rows (k,), (k,), times the density of their queries to the power `miner.density`."""
        power = self.settings.density
        if not power:
            return np.asarray(values, dtype=np.float64)
        return np.asarray(values * self.query_density[self.query_index[rows]] ** power, dtype=np.float64)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """A feedback column as floats; all NaN where the log has none."""
        if column not in self.window.columns:
            return np.full(len(self.window), np.nan)
        return pd.to_numeric(self.window[column], errors="coerce").to_numpy(dtype=np.float64)

    def view(self, agent: str, quota: int) -> DeskView:
        """The desk as one agent has it: its own candidate lists, and room for `quota` nominations."""
        return DeskView(desk=self, agent=agent, quota=quota)


@dataclass(frozen=True)
class Candidates:
    """A list that a tool made: rows of the window, the most promising first."""

    id: str
    what: str  # the measure, as a reason names it
    rows: Ints
    scores: NDArray[np.float64]


@dataclass
class DeskView:
    """One agent's notes. Nothing of it is shared with another agent."""

    desk: MiningDesk
    agent: str
    quota: int
    candidates: dict[str, Candidates] = field(default_factory=dict)
    nominations: list[Nomination] = field(default_factory=list)
    note: str = ""  # why the agent ended
    closed: bool = False
    looked: bool = False  # some tool was asked, whatever it found
    _taken: set[int] = field(default_factory=set)

    @property
    def left(self) -> int:
        return self.quota - len(self.nominations)

    def reset(self) -> None:
        """Forget everything: another policy starts from scratch."""
        self.candidates, self.nominations, self._taken = {}, [], set()
        self.note, self.closed, self.looked = "", False, False

    def offer(
        self, what: str, rows: Ints, scores: NDArray[np.floating], top: int | None = None
    ) -> Candidates:
        """Keep a list of candidates, without labelled pairs, ordered by score, the best `top` of them."""
        self.looked = True
        keep = self.desk.unlabelled[rows]
        rows, values = rows[keep], np.asarray(scores, dtype=np.float64)[keep]
        order = np.argsort(-values, kind="stable")[:top]
        made = Candidates(f"c{len(self.candidates) + 1}", what, rows[order], values[order])
        self.candidates[made.id] = made
        return made

    def nominate(self, candidates: str, count: int, reason: str) -> int:
        """Nominate the best `count` of a list that are not nominated yet; returns how many there were.

        Raises ToolException for an unknown list and for more than the quota leaves.
        """
        if candidates not in self.candidates:
            known = ", ".join(self.candidates) or "none yet; a scoring tool makes one"
            raise ToolException(f"there is no candidate list {candidates}. Lists: {known}.")
        if count > self.left:
            raise ToolException(f"{count} is more than your quota leaves: {self.left} of {self.quota}.")
        chosen = self.candidates[candidates]
        places = [at for at, row in enumerate(chosen.rows.tolist()) if row not in self._taken][:count]
        rows, scores = chosen.rows[places], chosen.scores[places]
        self._taken.update(rows.tolist())
        for key, score in zip(self.desk.keys(rows), scores.tolist(), strict=True):
            why = f"{chosen.what} {score:.3g}: {reason}"
            self.nominations.append(Nomination(key.query_id, key.doc_id, self.agent, float(score), why))
        if self.left <= 0:
            self.close("the quota is used up")
        return len(places)

    def finish(self, reason: str) -> None:
        """End the agent's turn. Raises ToolException where it nominated nothing although it could."""
        if not self.looked:
            raise ToolException("you have not looked yet: call a scoring tool before you finish.")
        if not self.nominations and any(len(item.rows) for item in self.candidates.values()) and self.quota:
            raise ToolException("you have candidates and nominated none: call nominate, then finish.")
        self.close(reason)

    def close(self, reason: str) -> None:
        self.closed, self.note = True, reason

    def frame(self) -> pd.DataFrame:
        """Nominations as a table: query_id, doc_id, agent, score, reason."""
        texts = ("query_id", "doc_id", "agent", "reason")
        columns = {name: [str(getattr(item, name)) for item in self.nominations] for name in texts}
        frame = pd.DataFrame(columns, dtype=object)  # an empty one keeps its types
        frame.insert(3, "score", np.array([item.score for item in self.nominations], dtype=np.float64))
        return frame
