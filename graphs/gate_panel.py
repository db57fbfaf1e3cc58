"""The panel's part in the gate: it grades the gate's queries, and further ones that nothing is mined of."""

from __future__ import annotations

import json
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
from serm.evals.judged_gate import JudgedChanges, JudgedGate, panel_grades, query_changes
from serm.graphs.events import Meter
from serm.graphs.resources import Resources
from serm.graphs.state import SupervisorState
from serm.graphs.training import round_folder
from serm.relevance_model.base import FloatArray, Scores
from serm.relevance_model.scoring import stored_scores
from serm.storage.artifacts import write_json
from serm.storage.judgment_tables import Totals

BEFORE: Final = "before_gate.json"
"""In the round's folder: what the round's judgments had taken when the gate began to ask for more."""
SHARDS: Final = 8  # asked at a time; what is in flight within them `llm.concurrency` says; chosen


def judged_gate(resources: Resources, state: SupervisorState) -> JudgedGate | None:
    """Have the panel grade what it has not yet, and compare both models by its grades. None where
    `gate.judged_share` is 0.

    Every judge grades every pair: what the gate's evidence is worth may not hang on whether judges agree.
    Raises as `Panel.judge` does; what was paid for is kept.
    """
    if not resources.settings.gate.judged_share:
        return None
    number = state["round"]
    _note_what_was_spent(resources, number)
    frames = {"gate": resources.human_graded(number), "judged": resources.judged_only(number)}
    every = pd.concat([frame.drop(columns="grade", errors="ignore") for frame in frames.values()])
    panel = resources.panel(number)
    _grade(resources, panel, number, every)
    said = panel.judgments(every, resources.judgments)
    graded = [_graded(resources, state, frame, said) for frame in frames.values()]
    return JudgedGate(
        every=JudgedChanges(*(rows.changes() for rows in graded)),
        newest=JudgedChanges(*(rows.changes(number - 1) for rows in graded)),
        pairs=len(every),
    )


def gate_totals(resources: Resources, number: int) -> Totals:
    """What the judgments of a round took that the gate asked for."""
    file = round_folder(resources, number) / BEFORE
    if not file.is_file():
        return Totals()
    before = json.loads(file.read_text(encoding="utf-8"))
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
    """Rows with the panel's grades, and what both models expect of them; `asked` are all rows, those that no
    judge has answered for among them."""

    asked: pd.DataFrame
    rows: pd.DataFrame
    before: FloatArray
    after: FloatArray

    def changes(self, window: int | None = None) -> pd.DataFrame:
        """Of every query, by the rows of one window alone or by all. A query that nobody answered for has
        none (NaN), on either side: left out of one alone, the two would be of different queries."""
        kept = np.ones(len(self.rows), bool) if window is None else (self.rows["window"] == window).to_numpy()
        found = query_changes(
            self.rows[kept].reset_index(drop=True), self.before[kept], self.after[kept], CUTOFF
        )
        asked = self.asked if window is None else self.asked[self.asked["window"] == window]
        every = asked.drop_duplicates("query_id")[["query_id", "window"]]
        return every.merge(found[["query_id", "change"]], on="query_id", how="left")


def _graded(
    resources: Resources, state: SupervisorState, frame: pd.DataFrame, said: list[Judgment]
) -> _Graded:
    """The rows of a frame that judges have graded."""
    grades = panel_grades(frame, said)
    graded = grades.notna().to_numpy()
    rows = frame[graded].assign(grade=grades[graded].astype(int)).reset_index(drop=True)
    before, after = (
        gate_scores(resources, frame, model).expected[graded]
        for model in (state["champion"], state["challenger"])
    )
    return _Graded(frame[["query_id", "window"]], rows, before, after)


def gate_scores(resources: Resources, frame: pd.DataFrame, model: str) -> Scores:
    """A model's scores of pairs that the gate looks at, kept by the pairs' content. What ranks them is as it
    was before the model was fitted to the gate's grades, by which it is to be judged."""
    columns = (*KEY, "query", "title", "text", "language")
    texts = digest_texts(str(text) for name in columns for text in frame[name])
    key = resources.score_key("gate", texts, model)
    opened = resources.models.open(model)
    scores = stored_scores(resources.workspace.scores, key, opened, frame)
    return replace(scores, expected=opened.ranking(scores.probabilities))
