"""The nodes of the annotator graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from serm.agents.chair import NAME, chair
from serm.agents.panel import pairs_of
from serm.agents.policy import decider
from serm.core.hashing import digest
from serm.graphs.resources import Resources
from serm.graphs.state import AnnotatorState, ShardTask
from serm.storage.artifacts import find_or_create
from serm.storage.labels import write_labels


class AnnotatorNodes:
    def __init__(self, resources: Resources) -> None:
        self._ = resources

    def tasks(self, state: AnnotatorState) -> list[ShardTask]:
        """One task a judge and shard of the sample, only for the pairs that the judge is to grade."""
        number, sample, size = state["round"], state["sample"], self._.settings.llm.shard
        panel, frame = self._.panel(number), self._.sample(sample)
        return [
            ShardTask(round=number, sample=sample, judge=name, first=first, last=first + size)
            for name in panel.names
            for first in range(0, len(panel.wanted(name, frame)), size)
        ]

    def judge(self, task: ShardTask) -> dict[str, Any]:
        """Level 1: one judge grades one shard, along as many paths as its majority needs."""
        panel = self._.panel(task["round"])
        frame = panel.wanted(task["judge"], self._.sample(task["sample"]))
        shard = frame.iloc[task["first"] : task["last"]]
        report = panel.judge(task["judge"], pairs_of(shard), self._.judgments)
        return {"graded": report.graded, "failed": report.failed}

    def vote(self, state: AnnotatorState) -> dict[str, Any]:
        """Level 2: the panel settles on labels, named by the votes: a retried failure makes new ones."""
        rule = self._.settings.agreement
        frame: pd.DataFrame = self._.sample(state["sample"])
        judgments = self._.panel(state["round"]).judgments(frame, self._.judgments)
        votes = [[*item.key, item.judge, item.grade] for item in judgments]
        turns = self._.settings.agents.max_steps
        key = digest([state["sample"], rule.model_dump(mode="json"), votes])

        def make(folder: Path) -> None:
            settled = chair(judgments, rule, decider(self._.settings, NAME, self._.purse), max_steps=turns)
            write_labels(settled.labels, folder / "labels.parquet")

        find_or_create(self._.workspace.labels, key, make)
        return {"labels": key}
