"""The queries of an audit: the gate's and the stream's, of the window and of before."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.columns import KEY
from serm.core.errors import DataError
from serm.evals.decay import expected_ndcg
from serm.graphs.audit_sides import Side, given_grades, joined, not_graded, whole_lists
from serm.graphs.drift import drift_of
from serm.graphs.gate_panel import scores_of
from serm.graphs.reference import queries_of
from serm.graphs.resources import Resources
from serm.graphs.state import MinerState
from serm.relevance_model.base import Scores
from serm.tools.language import with_languages
from serm.tools.strata import frequencies, strata, strata_by_window

Floats = NDArray[np.float64]


class Populations:
    """What people grade for the gate and what the stream asks may be queries of two kinds: a gate may be a
    list that somebody chose. So each is compared with its own past."""

    def __init__(self, resources: Resources, state: MinerState, grades: pd.DataFrame | None) -> None:
        self._, self._state, self._grades = resources, state, grades
        self._number = state["round"]
        self.found = drift_of(resources, state)

    @cached_property
    def given(self) -> pd.DataFrame:
        """The given grades of pairs of the window, with their `query` (its number).

        Raises DataError where grades were given and none is of such a pair.
        """
        desk = self.found.desk
        marked = desk.window[list(KEY)].assign(query=desk.query_index)
        if self._grades is None:
            return marked.iloc[:0].assign(grade=0)
        found = marked.merge(self._grades[[*KEY, "grade"]], on=list(KEY), how="inner")
        if found.empty:
            raise DataError(
                f"none of the {len(self._grades):,} given grades is of a pair of window {self.found.window}.",
                "Name the window that they are of; query_id and doc_id are as `--ask` writes them.",
            )
        return found

    @cached_property
    def stream(self) -> Side:
        """The window's queries, graded where a file of grades has them."""
        desk = self.found.desk
        return Side(
            np.asarray(desk.current.languages, dtype=object),
            desk.query_strata.astype(object),
            expected_ndcg(desk.query_index, desk.scores, seed=desk.seed),
            *given_grades(desk.window["doc_id"], desk.query_index, self.given, desk.scores.expected),
            np.asarray(desk.current.names, dtype=object),
            np.bincount(desk.query_index, minlength=len(desk.current)),
        )

    @cached_property
    def stream_before(self) -> Side | None:
        """The queries of the window before; None where the model was trained on pairs of it: of those it
        expects too much."""
        if self._number < 2 or self._state["earlier_labels"]:
            return None
        frame = with_languages(self._.coded_pairs(self._number - 1), self.found.desk.reference.spoken)
        _, scores = self._.scores(self._number - 1, self._state["champion"])
        codes, names = pd.factorize(frame["query"])
        index = codes.astype(np.int64)
        first = np.unique(index, return_index=True)[1]
        return Side(
            frame["language"].to_numpy(dtype=object)[first],
            strata(frequencies(frame, index, len(first))).astype(object),
            expected_ndcg(index, scores, seed=self.found.desk.seed),
            *not_graded(len(first)),
            np.asarray(names, dtype=object),
            np.bincount(index, minlength=len(first)),
        )

    @cached_property
    def gate(self) -> Side:
        """The gate queries that the window asked."""
        return self._gate_side(newest=True)

    @cached_property
    def gate_before(self) -> Side:
        """The gate queries of earlier windows and of the seed, each by the last list that it had there."""
        return self._gate_side(newest=False)

    @cached_property
    def graded(self) -> Side:
        """What people graded of the window: the gate's queries, and with given grades the stream's."""
        return joined(self.stream, self.gate) if len(self.given) else self.gate

    @cached_property
    def _lists(self) -> tuple[pd.DataFrame, Scores]:
        """What all windows so far logged for the gate's queries, with their languages and grades."""
        lists = self._.gate_lists(self._number)
        grades = self._.human_graded(self._number)[[*KEY, "grade"]]
        # Models know languages as the log names them, the desk knows all of them.
        told = with_languages(lists, self.found.desk.reference.spoken)["language"].fillna("").astype(str)
        frame = lists.assign(spoken=told.to_numpy()).merge(grades, on=[*KEY], how="left")
        return frame, scores_of(self._, lists, self._state["champion"])

    def _gate_side(self, *, newest: bool) -> Side:
        frame, scores = self._lists
        window = frame["window"].to_numpy()
        now = window == self._number - 1
        last = frame["window"].where(~now).groupby(frame["query_id"]).transform("max").to_numpy()
        rows = now if newest else ~now & (window == last)
        part = frame[rows].reset_index(drop=True)
        some = Scores(scores.probabilities[rows], scores.expected[rows])
        codes = pd.factorize(part["query_id"])[0].astype(np.int64)
        _, first = np.unique(codes, return_index=True)
        return Side(
            part["spoken"].to_numpy(dtype=object)[first],
            strata_by_window(part, codes, self._traffic),
            expected_ndcg(codes, some, seed=self.found.desk.seed),
            *whole_lists(part.assign(query_id=codes), some.expected, len(first)),
            part["query"].to_numpy(dtype=object)[first],
            np.bincount(codes, minlength=len(first)),
        )

    def _traffic(self, window: int) -> Floats | None:
        """How often a window's queries were asked (-1: those of the seed)."""
        asked = queries_of(self._, window + 1)["asked"].to_numpy(dtype=np.float64)
        return None if np.isnan(asked).all() else asked
