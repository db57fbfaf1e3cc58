"""The panel's part in the gate: it grades the gate's queries, and further ones that nothing is mined of."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from serm.agents.panel import Panel, pairs_of
from serm.core.columns import KEY
from serm.core.hashing import digest_texts
from serm.core.records import Judgment
from serm.evals.gate import CUTOFF
from serm.evals.judged_gate import JudgedChanges, JudgedGate, TooFew, panel_grades, query_changes
from serm.evals.listed import WindowRows, rows_by_window
from serm.evals.same_text import texts_of
from serm.graphs.events import Meter
from serm.graphs.resources import Resources
from serm.graphs.state import SupervisorState
from serm.graphs.training import round_folder
from serm.relevance_model.base import FloatArray, Scores
from serm.relevance_model.scoring import stored_scores
from serm.storage.artifacts import write_json
from serm.storage.judgment_tables import Totals
from serm.storage.reading import read_json

BEFORE: Final = "before_gate.json"
"""In the round's folder: what the round's judgments had taken when the gate began to ask for more."""
SHARDS: Final = 8  # asked at a time; what is in flight within them `llm.concurrency` says; chosen


def judged_gate(resources: Resources, state: SupervisorState) -> JudgedGate | TooFew | None:
    """Have the panel grade what it has not yet, and compare both models by its grades. None where
    `gate.judged_share` is 0, and `TooFew` where it is known beforehand that its grades would not count.

    Every judge grades every pair: what the gate's evidence is worth may not hang on whether judges agree.
    Raises as `Panel.judge` does; what was paid for is kept.
    """
    if not resources.settings.gate.judged_share:
        return None
    number = state["round"]
    lists = _lists(resources, number)
    beside = _graded_beside(resources, number, *lists)
    if beside < resources.settings.gate.judged_least:
        return TooFew(beside)
    _note_what_was_spent(resources, number)
    every = _each_once(lists)
    panel = resources.panel(number)
    _grade(resources, panel, number, every)
    said = panel.judgments(every, resources.judgments)
    graded = [_graded(resources, state, frame, said) for frame in lists]
    return JudgedGate(
        every=JudgedChanges(*(rows.changes() for rows in graded)),
        newest=JudgedChanges(*(rows.changes(number - 1) for rows in graded)),
        pairs=len(every),
    )


def panel_pairs(resources: Resources, number: int) -> pd.DataFrame:
    """What the panel grades for the gate of a round: whole lists, each pair once. Of the gate's queries those
    that no person has graded are among them: a change over graded documents alone would be of another kind
    than that of the queries which the panel alone grades. Nothing where its grades would not count."""
    lists = _lists(resources, number)
    enough = _graded_beside(resources, number, *lists) >= resources.settings.gate.judged_least
    return _each_once(lists if enough else [frame.iloc[:0] for frame in lists])


def _lists(resources: Resources, number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The lists of the gate's queries, and of those that the panel alone grades, with the `text` of each
    query. A text that people grade under another id is no further evidence, and nobody is asked for it."""
    gate, judged = (
        frame.assign(text=texts_of(frame))
        for frame in (resources.gate_lists(number), resources.judged_lists(number))
    )
    return gate, judged[~judged["text"].isin(gate["text"].unique())].reset_index(drop=True)


def _graded_beside(
    resources: Resources, number: int, gate_lists: pd.DataFrame, judged_lists: pd.DataFrame
) -> int:
    """How many gate queries people have graded, with more than one grade, in windows from which the panel
    alone grades two queries or more: what its grades are weighed by, over all or in the newest one. A text
    under several ids is one query."""
    grades = resources.human_graded(number).groupby("query_id")["grade"].nunique()
    asked = gate_lists[gate_lists["query_id"].isin(grades.index[grades > 1])]
    firsts = [frame.sort_values("window").drop_duplicates("text") for frame in (asked, judged_lists)]
    newest = [frame[frame["window"] == number - 1].drop_duplicates("text") for frame in (asked, judged_lists)]
    return max(_beside(*firsts), _beside(*newest))


def _beside(human: pd.DataFrame, judged: pd.DataFrame) -> int:
    windows = judged["window"].value_counts()
    return int(human["window"].isin(windows.index[windows > 1]).sum())


def _each_once(lists: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(lists, ignore_index=True).drop_duplicates([*KEY]).reset_index(drop=True)


def gate_totals(resources: Resources, number: int) -> Totals:
    """What the judgments of a round took that the gate asked for."""
    file = round_folder(resources, number) / BEFORE
    if not file.is_file():
        return Totals()
    before = read_json(file)
    now = asdict(resources.judgments.totals(resources.trace_id(number)))
    return Totals(**{name: value - before[name] for name, value in now.items()})


def _note_what_was_spent(resources: Resources, number: int) -> None:
    """Once a round: a gate that a kill broke off goes on counting from where it began."""
    file: Path = round_folder(resources, number) / BEFORE
    if not file.is_file():
        write_json(file, asdict(resources.judgments.totals(resources.trace_id(number))))


def _grade(resources: Resources, panel: Panel, number: int, frame: pd.DataFrame) -> None:
    """All judges work at a time, each shard by shard, on what is not recorded yet."""
    size, meter = resources.settings.llm.shard, Meter(resources.emit)
    wanted = {name: panel.wanted(name, frame) for name in panel.names}
    meter.start(number, "judge_gate", sum(len(rows) for rows in wanted.values()))
    shards = sorted((first, name) for name, rows in wanted.items() for first in range(0, len(rows), size))

    def judge(shard: tuple[int, str]) -> None:
        first, name = shard
        pairs = pairs_of(wanted[name].iloc[first : first + size])
        panel.judge(name, pairs, resources.judgments, progress=meter.add)

    with ThreadPoolExecutor(SHARDS) as pool:
        futures = [pool.submit(copy_context().run, judge, shard) for shard in shards]
    for future in futures:
        future.result()


@dataclass(frozen=True, slots=True, eq=False)
class _Graded:
    """Pairs with the panel's grades (NaN: nobody answered), and what both models expect of them; `asked` are
    the rows of each window's lists."""

    pairs: pd.DataFrame
    before: FloatArray
    after: FloatArray
    asked: WindowRows

    def changes(self, window: int | None = None) -> pd.DataFrame:
        """Of every query, by one window's lists alone or by all pairs. A query that nobody answered for has
        none (NaN), on either side: left out of one alone, the two would be of different queries."""
        there = (
            np.arange(len(self.pairs)) if window is None else self.asked.get(window, np.empty(0, np.int64))
        )
        rows = there[self.pairs["grade"].notna().to_numpy()[there]]
        graded = self.pairs.iloc[rows].astype({"grade": int}).reset_index(drop=True)
        found = query_changes(graded, self.before[rows], self.after[rows], CUTOFF)
        every = self.pairs.iloc[there].drop_duplicates("query_id")[["query_id", "window", "text"]]
        if window is not None:
            every = every.assign(window=window)
        return every.merge(found[["query_id", "change"]], on="query_id", how="left")


def _graded(
    resources: Resources, state: SupervisorState, lists: pd.DataFrame, said: list[Judgment]
) -> _Graded:
    """The pairs of lists, each once, of the first window that has it."""
    order = lists.sort_values("window", kind="stable")
    pairs = order.drop_duplicates([*KEY]).reset_index(drop=True)
    before, after = (
        gate_scores(resources, pairs, model).expected for model in (state["champion"], state["challenger"])
    )
    pairs = pairs.assign(grade=panel_grades(pairs, said))
    return _Graded(pairs, before, after, rows_by_window(pairs, lists))


def scores_of(resources: Resources, frame: pd.DataFrame, model: str) -> Scores:
    """A model's scores of pairs that the gate looks at, kept by the pairs' content."""
    columns = (*KEY, "query", "title", "text", "language")
    texts = digest_texts(str(text) for name in columns for text in frame[name])
    key = resources.score_key("gate", texts, model)
    return stored_scores(resources.workspace.scores, key, resources.models.open(model), frame)


def gate_scores(resources: Resources, frame: pd.DataFrame, model: str) -> Scores:
    """The same, ranked by what the model was before it was fitted to the gate's grades, by which it is to be
    judged."""
    scores = scores_of(resources, frame, model)
    return replace(scores, expected=resources.models.open(model).ranking(scores.probabilities))
