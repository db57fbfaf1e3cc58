"""Judging wave by wave, and the panel's vote: from a sample to labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from serm.graphs.bench import ANNOTATION, LABELS, State
from serm.graphs.shards import Stage, Update
from serm.graphs.state import AnnotatorState, ShardTask
from serm.graphs.telling import told
from serm.storage.artifacts import find_or_create, write_json
from serm.storage.labels import write_labels


class Judging(Stage):
    def wave(self, state: AnnotatorState) -> Update:
        """The next wave of judges that has a pair to grade; past the last one where none has."""
        last = self.bench.waves(state)
        coming = range(last if state.get("closed") else state["wave"] + 1, last)
        return {"wave": next((number for number in coming if self._asking(state, number)), last)}

    def tasks(self, state: AnnotatorState) -> list[ShardTask]:
        return self.deal(state, "judge", self._asking(state, state["wave"]))

    def judge(self, task: ShardTask) -> Update:
        """Level 1: one judge grades one shard."""
        return self.ask(task, self._asking(task, task["wave"])[task["judge"]])

    def vote(self, state: AnnotatorState) -> Update:
        """Level 2: the panel settles on labels, named by the votes: a retried failure makes new ones."""
        frame, said = self.bench.frame(state), self.bench.said(state)
        name = self.bench.labels_name(state, said)

        def make(folder: Path) -> None:
            labels = self.bench.settle(state, frame, said)
            write_labels(labels, folder / LABELS)
            write_json(folder / ANNOTATION, told(self.bench, state, labels))

        find_or_create(self._.workspace.labels, name, make)
        return {"labels": name}

    def _asking(self, state: State, wave: int) -> Mapping[str, pd.DataFrame]:
        return self.bench.inquiry(state, wave).asking
