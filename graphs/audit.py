"""Has the model in use decayed on a window, and where? Before any judge is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.columns import KEY
from serm.core.errors import DataError
from serm.evals.decay import Change, compare
from serm.graphs.audit_populations import Populations
from serm.graphs.audit_sides import Side
from serm.graphs.drift import WindowDrift
from serm.graphs.resources import Resources
from serm.graphs.state import MinerState
from serm.tools.strata import STRATA

Rows = NDArray[np.bool_]
Part = Callable[[Side], Rows]
"""Which queries of a side: (queries,)."""


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
    unlike: Change | None = None
    """What the model expects of the window's stream less what it expects of the gate's queries of the same
    window, where the one is held against the other's past and they are surely not alike."""


class Auditor:
    """Slices of one window, each against its own past."""

    def __init__(self, sides: Populations, *, margin: float, level: float) -> None:
        self._sides, self._margin, self._level = sides, margin, level

    def slices(self) -> Iterator[Slice]:
        sides, found, stream = self._sides, self._sides.found, self._sides.stream
        yield self._slice("window", found.window, _all)
        languages = pd.Series(stream.languages).value_counts()
        for name in languages.index if len(languages) > 1 else ():
            spoken = _spoken(str(name))
            yield self._slice("language", str(name), spoken, _or_all(spoken))
        for name in STRATA:
            if 0 < (stream.strata == name).sum() < len(stream):
                yield self._slice("stratum", name, _of_stratum(name))
        for region, facts in zip(found.drift.regions, found.facts, strict=True):
            if region.kind != "dying":
                inside = _inside(region.members, sides.gate)
                yield self._slice("region", f"{region.kind} {facts.name}", inside, _all)

    def _slice(self, kind: str, name: str, now: Part, before: Part | None = None) -> Slice:
        queries = int(now(self._sides.stream).sum())
        return Slice(kind, name, queries, self._change(now, before or now))

    def _change(self, now: Part, before: Part) -> Change:
        """By human grades on both sides; else the model's expectation is compared on both, like with like.
        Where there was nothing like it before, its figures stand alone, and nothing can be told."""
        sides, level = self._sides, self._level
        graded = [
            side.of(part(side), level) for side, part in ((sides.graded, now), (sides.gate_before, before))
        ]
        stream, past = sides.stream, self._past
        if before(past).any() and not all(side.graded for side in graded):
            graded = [stream.expectation(now(stream), level), past.expectation(before(past), level)]
        return compare(graded[0], graded[1], margin=self._margin, level=level)

    @property
    def _past(self) -> Side:
        """What the model's expectation of the stream is held against."""
        before = self._sides.stream_before
        return self._sides.gate_before if before is None else before

    def unlike(self, whole: Change) -> Change | None:
        """Whether the stream is surely unlike the gate, where `whole` compares the two."""
        sides = self._sides
        if (not len(sides.given)) if whole.measured else (self._past is not sides.gate_before):
            return None
        both = [side.expectation(_all(side), self._level) for side in (sides.stream, sides.gate)]
        found = compare(both[0], both[1], margin=self._margin, level=self._level)
        return found if found.change.high < 0 or found.change.low > 0 else None


def audit(resources: Resources, state: MinerState, grades: pd.DataFrame | None = None) -> Audit:
    """Compare the window with what came before it. `grades`: query_id, doc_id, grade of pairs of the window.

    Human grades are those of the gate, and the given ones. Raises DataError where no gate query is open, or
    none has a list from before: there is nothing to compare with; and where no given grade is of the window.
    """
    sides = Populations(resources, state, grades)
    _require_a_past(resources, state, sides)
    settings = resources.settings
    auditor = Auditor(sides, margin=settings.gate.margin, level=settings.evaluation.level)
    slices = tuple(auditor.slices())
    return Audit(
        found=sides.found,
        slices=slices,
        human_grades=sides.graded.grades,
        elsewhere=(0 if grades is None else len(grades)) - len(sides.given),
        in_part=sides.graded.in_part + sides.gate_before.in_part,
        unlike=auditor.unlike(slices[0].change),
    )


def _require_a_past(resources: Resources, state: MinerState, sides: Populations) -> None:
    if len(sides.gate_before):
        return
    if resources.human_graded(state["round"]).empty:
        raise DataError(
            "no gate query was open before this window: nothing says how good the model was.",
            "Give `data.sets` a gate, and `seed_gate` where it is to be open from the start.",
        )
    raise DataError(
        f"no gate query has a list from before window {sides.found.window}: nothing says how good the model "
        "was.",
        "Name a later window with --window, or grade queries of the seed for `seed_gate`.",
    )


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


def _all(side: Side) -> Rows:
    return np.ones(len(side), dtype=bool)


def _spoken(language: str) -> Part:
    return lambda side: np.asarray(side.languages == language, dtype=bool)


def _of_stratum(name: str) -> Part:
    return lambda side: np.asarray(side.strata == name, dtype=bool)


def _inside(members: NDArray[np.int64], gate: Side) -> Part:
    """A region is of the stream's queries, which stand before the gate's where both are on one side."""

    def rows(side: Side) -> Rows:
        found = np.zeros(len(side), dtype=bool)
        if side is not gate:
            found[members] = True
        return found

    return rows


def _or_all(part: Part) -> Part:
    """A new language has no past of its own: it is held against all that came before."""

    def rows(side: Side) -> Rows:
        found = part(side)
        return found if found.any() else _all(side)

    return rows
