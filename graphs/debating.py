"""The debate, where it is switched on: judges hear each other on what was dropped; then a second vote."""

from __future__ import annotations

from pathlib import Path

from serm.agents.debate import after_debate
from serm.agents.settling import after
from serm.agents.tallies import tally
from serm.graphs.bench import ANNOTATION, LABELS
from serm.graphs.shards import Stage, Update
from serm.graphs.state import AnnotatorState, ShardTask
from serm.graphs.telling import told
from serm.storage.artifacts import find_or_create, write_json
from serm.storage.labels import labels_of, write_labels


class Debating(Stage):
    def debate_tasks(self, state: AnnotatorState) -> list[ShardTask]:
        if not self._.settings.agreement.debate or state.get("closed"):
            return []
        debate = self.bench.debate(state)
        return self.deal(state, "debate", {name: rows for name, rows in debate.rows.items() if len(rows)})

    def debate(self, task: ShardTask) -> Update:
        """One judge hears what the others said of one shard of the dropped pairs, and may revise."""
        debate, name = self.bench.debate(task), task["judge"]
        return self.ask(task, debate.rows[name], instead=debate.judges[name])

    def vote_again(self, state: AnnotatorState) -> Update:
        """The panel settles on the debated pairs as it did on all; what it keeps now is marked."""
        debate, panel, before = self.bench.debate(state), self.bench.panel(state), state["labels"]
        revised = {
            name: panel.recorded(name, debate.rows[name], self.bench.store, instead=judge)
            for name, judge in debate.judges.items()
        }
        said = {
            key: [after_debate(item, revised.get(item.judge, {}).get(key)) for item in judgments]
            for key, judgments in debate.said.items()
        }
        name = self.bench.labels_name(state, said, "debate", before)

        def make(folder: Path) -> None:
            debated = self.bench.settle(state, debate.frame, said)
            labels = after(labels_of(self._.workspace.labels / before / LABELS), debated)
            write_labels(labels, folder / LABELS)
            took = {
                "pairs": len(debated),
                "share": len(debated) / max(1, len(labels)),
                "kept": sum(label.outcome.kept for label in debated),
                **tally(judgment for found in revised.values() for judgment in found.values()),
            }
            write_json(folder / ANNOTATION, told(self.bench, state, labels, debate=took))

        find_or_create(self._.workspace.labels, name, make)
        return {"labels": name, "debated": before}
