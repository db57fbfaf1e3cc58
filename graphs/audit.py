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
from serm.evals.decay import Change, compare, expected_ndcg, measured_mean
from serm.graphs.audit_sides import Side, given_grades, joined, whole_lists
from serm.graphs.drift import WindowDrift, drift_of
from serm.graphs.gate_panel import scores_of
from serm.graphs.reference import queries_of
from serm.graphs.resources import Resources
from serm.graphs.state import MinerState
from serm.relevance_model.base import Scores
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
    in_part: int = 0  # queries, now and before, of whose list people graded a part: they count as not graded


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
    def window(self) -> Side:
        """The window's queries, graded where a file of grades has them, and its gate queries behind them."""
        desk = self.found.desk
        expected = expected_ndcg(desk.query_index, desk.scores, seed=desk.seed)
        own = Side(
            np.asarray(desk.current.languages, dtype=object),
            desk.query_strata.astype(object),
            expected,
            *given_grades(desk.window["doc_id"], desk.query_index, self.given, desk.scores.expected),
        )
        return joined(own, self._gate_side(newest=True))

    @cached_property
    def before(self) -> Side:
        """The gate queries of earlier windows and of the seed, each by the last list that it had there."""
        return self._gate_side(newest=False)

    @cached_property
    def _lists(self) -> tuple[pd.DataFrame, Scores]:
        """What all windows so far logged for the gate's queries, with their languages and grades."""
        lists = self._.gate_lists(self._number)
        grades = self._.human_graded(self._number)[[*KEY, "grade"]]
        # Models know languages as the log names them, the desk knows all of them.
        spoken = self.found.desk.reference.spoken
        told = with_languages(lists, spoken)["language"].fillna("").astype(str)
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
        )

    def _traffic(self, window: int) -> Floats | None:
        """How often a window's queries were asked (-1: those of the seed)."""
        asked = queries_of(self._, window + 1)["asked"].to_numpy(dtype=np.float64)
        return None if np.isnan(asked).all() else asked

    @property
    def grades_of_the_gate(self) -> int:
        """Human grades that the window's own gate lists have."""
        frame, _ = self._lists
        return int(frame.loc[frame["window"] == self._number - 1, "grade"].notna().sum())

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
    given, of_gate = len(auditor.given), auditor.grades_of_the_gate
    elsewhere = (0 if grades is None else len(grades)) - given
    in_part = auditor.window.in_part + auditor.before.in_part
    return Audit(auditor.found, slices, of_gate + given, elsewhere, in_part)


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


def _or_all(rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A new language has no past of its own: it is held against all that came before."""
    return rows if rows.any() else np.ones(len(rows), dtype=bool)
