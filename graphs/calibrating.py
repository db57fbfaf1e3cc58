"""Calibration, under the rule `reliability` alone: the panel grades human-graded pairs, and is weighed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from serm.agents import tallies
from serm.agents.calibration import learn_jury
from serm.agents.inquiry import keys_of, votes_of
from serm.core.hashing import digest
from serm.core.records import Outcome
from serm.graphs.bench import LEARNED
from serm.graphs.shards import Stage, Update
from serm.graphs.state import AnnotatorState, ShardTask
from serm.storage.artifacts import find_or_create, write_json


class Calibrating(Stage):
    def calibrate(self, state: AnnotatorState) -> Update:
        """Choose the human-graded pairs that the panel is weighed on."""
        return {"gold": self.bench.gold_name(state) if self._weighed else "", "wave": -1}

    def gold_tasks(self, state: AnnotatorState) -> list[ShardTask]:
        if not state["gold"]:
            return []
        return self.deal(state, "grade_gold", self.bench.gold_inquiry(state, 0).asking)

    def grade_gold(self, task: ShardTask) -> Update:
        """Have one judge grade one shard of them."""
        return self.ask(task, self.bench.gold_inquiry(task, 0).asking[task["judge"]])

    def learn(self, state: AnnotatorState) -> Update:
        """Learn what the judges of each source are worth."""
        if not self._weighed:
            return {"reliability": ""}
        agreement, seed = self._.settings.agreement, self._.settings.random_seed
        panel, gold = self.bench.panel(state), self.bench.gold(state)
        said = self.bench.gold_inquiry(state, 1).said
        votes = [[*key, votes_of(judgments)] for key, judgments in said.items()]
        juries = {judges: _sources(rows) for judges, rows in panel.groups(self.bench.frame(state)) if judges}
        name = digest([state["gold"], votes, list(juries.items()), agreement.keep, seed])

        def make(folder: Path) -> None:
            grades = dict(zip(keys_of(gold), map(int, gold["grade"]), strict=True))
            groups = {judges: keys_of(rows) for judges, rows in panel.groups(gold)}
            found = []
            for judges, sources in juries.items():
                theirs = {key: said[key] for key in groups.get(judges, ())}
                found.append(learn_jury(judges, sources, theirs, grades, keep=agreement.keep, seed=seed))
            told = {"pairs": len(gold), "queries": int(gold["query_id"].nunique())}
            told |= tallies.tally(tallies.together(said))
            content = {"juries": [item.to_json() for item in found], "calibration": told}
            write_json(folder / LEARNED, content)

        find_or_create(self._.workspace.reliability, name, make)
        return {"reliability": name}

    @property
    def _weighed(self) -> bool:
        return self._.settings.agreement.rule == Outcome.RELIABILITY.value


def _sources(rows: pd.DataFrame) -> tuple[str, ...]:
    return tuple(sorted(map(str, set(rows["source"])))) if "source" in rows else ()
