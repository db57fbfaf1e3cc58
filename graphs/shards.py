"""What the annotator's stages share: pairs are dealt out to judges in shards, and judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from serm.agents.panel import pairs_of
from serm.graphs.bench import Bench
from serm.graphs.events import Meter
from serm.graphs.panel_resources import PanelResources
from serm.graphs.state import AnnotatorState, ShardTask
from serm.llm.base import Judge

Update = dict[str, Any]


class Stage:
    """One stage of the annotator, over the bench that all stages share."""

    def __init__(self, resources: PanelResources, bench: Bench, meter: Meter) -> None:
        self._, self.bench, self._meter = resources, bench, meter

    def deal(self, state: AnnotatorState, step: str, asking: Mapping[str, pd.DataFrame]) -> list[ShardTask]:
        """A task a judge and shard. The judges' shards take turns, so that all of them work at a time."""
        if state.get("closed"):
            return []
        self._.before_asking(state["round"], asking)
        size = self._.settings.llm.shard
        self._meter.start(state["round"], step, sum(len(rows) for rows in asking.values()))
        shards = [(first, name) for name, rows in asking.items() for first in range(0, len(rows), size)]
        return [
            ShardTask(
                round=state["round"],
                sample=state["sample"],
                gold=state.get("gold", ""),
                reliability=state.get("reliability", ""),
                wave=state.get("wave", -1),
                labels=state.get("labels", ""),
                judge=name,
                first=first,
                last=first + size,
            )
            for first, name in sorted(shards, key=lambda shard: shard[0])
        ]

    def ask(self, task: ShardTask, rows: pd.DataFrame, instead: Judge | None = None) -> Update:
        """Have the task's judge grade its shard of `rows`, along as many paths as its majority needs."""
        shard = pairs_of(rows.iloc[task["first"] : task["last"]])
        report = self.bench.panel(task).judge(
            task["judge"], shard, self.bench.store, instead=instead, progress=self._meter.add
        )
        return {"graded": report.graded, "failed": report.failed}
