"""Has the model in use decayed on a window, and where? Before any judge is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.columns import KEY
from serm.core.errors import DataError
from serm.evals.decay import CUTOFF, Change, Measured, compare, expected_ndcg, measured_mean
from serm.evals.measures import ndcg_column, per_query
from serm.graphs.drift import WindowDrift, drift_of
from serm.graphs.resources import Resources
from serm.graphs.state import MinerState
from serm.graphs.training import gate_key
from serm.relevance_model.base import Scores
from serm.relevance_model.scoring import stored_scores
from serm.tools.language import with_languages
from serm.tools.strata import STRATA, strata_by_window

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Slice:
    """A part of the window: all of it, a language, a stratum or a region."""

    kind: str
    name: str
    queries: int
    change: Change


@dataclass(frozen=True)
class Audit:
    found: WindowDrift
    slices: tuple[Slice, ...]  # the first is the whole window
    human_grades: int  # of the window, that the figures rest on
    elsewhere: int  # given grades that are of no pair of the window, and are left out


@dataclass(frozen=True)
class _Side:
    """Queries with what the model expects of them, and what human grades say where there are any.

    That people gave a query's documents one grade is no lack of grades: left among the ungraded ones it would
    stand for queries of another kind, and bend the mean.
    """

    languages: NDArray[np.object_]
    strata: NDArray[np.object_]  # each by the traffic of its own window; "": it logs none
    expected: Floats  # NDCG@4
    graded: NDArray[np.bool_]  # by people
    human: Floats  # NDCG@4; NaN: not graded, or with one grade

    def of(self, rows: NDArray[np.bool_], level: float) -> Measured:
        graded = rows & self.graded
        return measured_mean(self.human[graded], self.expected[graded], self.expected[rows & ~graded], level)


class _Auditor:
    def __init__(self, resources: Resources, state: MinerState, grades: pd.DataFrame | None) -> None:
        self._, self._state, self._grades = resources, state, grades
        self._number, self._level = state["round"], resources.settings.evaluation.level
        self.found = drift_of(resources, state)

    @cached_property
    def given(self) -> pd.DataFrame:
        """The given grades of pairs of the window, with their `row` there and their `query` (its number).

        Raises DataError where grades were given and none is of such a pair.
        """
        desk = self.found.desk
        marked = desk.window[list(KEY)].assign(row=np.arange(len(desk.window)), query=desk.query_index)
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
    def window(self) -> _Side:
        """The window's queries, graded where a file of grades has them, and its gate queries behind them."""
        desk = self.found.desk
        expected = expected_ndcg(desk.query_index, desk.scores, seed=desk.seed)
        graded, human = _human(self.given, desk.scores, len(expected))
        own = _Side(
            np.asarray(desk.current.languages, dtype=object),
            desk.query_strata.astype(object),
            expected,
            graded,
            human,
        )
        return _joined(own, self._gate_side(newest=True))

    @cached_property
    def before(self) -> _Side:
        """The gate queries of earlier windows and of the seed."""
        return self._gate_side(newest=False)

    @cached_property
    def _gate(self) -> tuple[pd.DataFrame, Scores]:
        frame = self._.dataset.gate(self._number - 1)
        key = self._.score_key("gate", gate_key(self._, self._number), self._state["champion"])
        model = self._.models.open(self._state["champion"])
        return frame, stored_scores(self._.workspace.scores, key, model, frame)

    @cached_property
    def _gate_languages(self) -> pd.Series:
        """Of the gate's rows: models know languages as the log names them, the desk knows all of them."""
        spoken = self.found.desk.reference.spoken
        return with_languages(self._gate[0], spoken)["language"].fillna("").astype(str)

    def _gate_side(self, *, newest: bool) -> _Side:
        frame, scores = self._gate
        rows = ((frame["window"] == self._number - 1) == newest).to_numpy()
        part = frame[rows].reset_index(drop=True)
        some = Scores(scores.probabilities[rows], scores.expected[rows])
        codes, _ = pd.factorize(part["query_id"])
        measured = per_query(part, some.expected)
        human = measured[ndcg_column(CUTOFF)].where(measured["mixed"]).to_numpy(dtype=np.float64)
        codes = codes.astype(np.int64)
        _, first = np.unique(codes, return_index=True)
        return _Side(
            self._gate_languages.to_numpy(dtype=object)[rows][first],
            strata_by_window(part, codes),
            expected_ndcg(codes, some, seed=self.found.desk.seed),
            np.ones(len(human), dtype=bool),
            human,
        )

    def slices(self) -> Iterator[Slice]:
        desk, window, before = self.found.desk, self.window, self.before
        own = len(desk.current)  # the gate queries of the window stand behind its own
        everything = np.ones(len(before.expected), dtype=bool)
        yield self._slice("window", self.found.window, np.ones(len(window.expected), dtype=bool), everything)
        languages = pd.Series(window.languages[:own]).value_counts()
        for name in languages.index if len(languages) > 1 else ():
            yield self._slice(
                "language", str(name), window.languages == name, _or_all(before.languages == name)
            )
        for name in STRATA:
            rows = window.strata == name
            if 0 < rows[:own].sum() < own:
                yield self._slice("stratum", name, rows, before.strata == name)
        for region, facts in zip(self.found.drift.regions, self.found.facts, strict=True):
            if region.kind != "dying":
                rows = np.zeros(len(window.expected), dtype=bool)
                rows[region.members] = True
                yield self._slice("region", f"{region.kind} {facts.name}", rows, everything)

    def _slice(self, kind: str, name: str, now: NDArray[np.bool_], before: NDArray[np.bool_]) -> Slice:
        """Where one side has no human grades the model's expectation is compared on both, like with like.
        Where there was nothing like it before, its figures stand alone, and nothing can be told."""
        sides = [self.window.of(now, self._level), self.before.of(before, self._level)]
        if before.any() and not all(side.graded for side in sides):
            sides = [
                measured_mean([], [], values, self._level)
                for values in (self.window.expected[now], self.before.expected[before])
            ]
        margin = self._.settings.gate.margin
        change = compare(sides[0], sides[1], margin=margin, level=self._level)
        own = int(now[: len(self.found.desk.current)].sum())
        return Slice(kind, name, own, change)


def audit(resources: Resources, state: MinerState, grades: pd.DataFrame | None = None) -> Audit:
    """Compare the window with what came before it. `grades`: query_id, doc_id, grade of pairs of the window.

    Human grades are those of the gate, and the given ones. Raises DataError where no gate query is open:
    there is nothing to compare with, and no calibration; and where no given grade is of the window.
    """
    auditor = _Auditor(resources, state, grades)
    if not len(auditor.before.expected):
        raise DataError(
            "no gate query was open before this window: nothing says how good the model was.",
            "Give `data.sets` a gate, and `seed_gate` where it is to be open from the start.",
        )
    slices = tuple(auditor.slices())
    gate = resources.dataset.gate(state["round"] - 1)
    given, of_gate = len(auditor.given), int((gate["window"] == state["round"] - 1).sum())
    return Audit(auditor.found, slices, of_gate + given, (0 if grades is None else len(grades)) - given)


def pairs_to_grade(found: WindowDrift, count: int, seed: int) -> pd.DataFrame:
    """Pairs of whole queries, drawn at random, at most `count` but one query at least: graded by people they
    make an audit sure. Random, because a chosen sample would not stand for the window."""
    window, index = found.desk.window, found.desk.query_index
    order = np.random.default_rng(seed).permutation(len(found.desk.current))
    sizes = np.bincount(index, minlength=len(order))
    taken = order[: max(1, int((np.cumsum(sizes[order]) <= count).sum()))]
    rows = np.flatnonzero(np.isin(index, taken))
    columns = [*KEY, "query", "title", "text", "language"]
    return window.iloc[rows][columns].assign(grade=np.nan).reset_index(drop=True)


def _human(graded: pd.DataFrame, scores: Scores, queries: int) -> tuple[NDArray[np.bool_], Floats]:
    """(queries,): which have a given grade, and NDCG@4 by those grades, NaN where there is one alone."""
    there, result = np.zeros(queries, dtype=bool), np.full(queries, np.nan)
    if len(graded):
        by_text = graded.assign(query_id=graded["query"])  # a text may come under several ids, with its pairs
        by_text = by_text.drop_duplicates(["query_id", "doc_id"])
        measured = per_query(by_text, scores.expected[by_text["row"].to_numpy()])
        codes = measured["query_id"].to_numpy(dtype=np.int64)
        there[codes] = True
        result[codes] = measured[ndcg_column(CUTOFF)].where(measured["mixed"]).to_numpy(dtype=np.float64)
    return there, result


def _joined(first: _Side, second: _Side) -> _Side:
    return _Side(
        np.concatenate([first.languages, second.languages]),
        np.concatenate([first.strata, second.strata]),
        np.concatenate([first.expected, second.expected]),
        np.concatenate([first.graded, second.graded]),
        np.concatenate([first.human, second.human]),
    )


def _or_all(rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A new language has no past of its own: it is held against all that came before."""
    return rows if rows.any() else np.ones(len(rows), dtype=bool)
