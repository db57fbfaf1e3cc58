"""How often a panel agrees, and is right, over all pairs of each window: beside what it does on mined pairs.

    python -m serm.benchmarks.panel_check configs/verticals.yaml

Asks every judge of the config about every pair with a human grade: for recorded and simulated judges. The
rules are those that need no human grades; benchmarks/judging/agreement.py has `reliability`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pandas as pd

from serm.agents.panel import open_panel, pairs_of
from serm.core.columns import KEY
from serm.core.errors import ConfigError
from serm.core.settings import Settings
from serm.evals.tables import Cells, markdown
from serm.storage.ingest import ingest
from serm.storage.judgments import JudgmentStore
from serm.storage.sealed import SealedGrades
from serm.storage.workspace import Workspace
from serm.tools.peer_vote import peer_vote, usable


def panel_table(settings: Settings) -> Cells:
    """A row a window: pairs, and for each rule the share that is kept and how much of that is right."""
    headers = ("window", "pairs", *(f"{rule}: {what}" for rule in usable(None) for what in ("kept", "right")))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = settings.model_copy(update={"workspace": Path(folder) / "workspace"})
        with Workspace.open(scratch) as workspace, JudgmentStore(workspace.judgments_url) as store:
            dataset = ingest(scratch, workspace)
            for window in dataset.windows:
                graded = dataset.window(window.index).merge(dataset.sealed(window.index), on=list(KEY))
                rows.append((window.name, f"{len(graded):,}", *_shares(settings, graded, store)))
    return Cells(headers, tuple(rows), frozenset({"window"}))


def _shares(settings: Settings, graded: pd.DataFrame, store: JudgmentStore) -> list[str]:
    truth = SealedGrades(lambda: graded)
    with open_panel(settings, truth) as panel:
        if any(member.judge.remote for member in panel.members.values()):
            raise ConfigError("a judge of this config costs money.", "Use recorded or simulated judges here.")
        for name in panel.names:
            panel.judge(name, pairs_of(panel.wanted(name, graded)), store)
        judgments = panel.judgments(graded, store)
    shares: list[str] = []
    for rule in usable(None):
        kept = [
            label for label in peer_vote(judgments, rule, settings.agreement.min_judges) if label.outcome.kept
        ]
        right = sum(label.grade == truth[label.key] for label in kept)
        shares += [f"{len(kept) / len(graded):.1%}", f"{right / len(kept):.1%}" if kept else "–"]
    return shares


if __name__ == "__main__":
    print(markdown(panel_table(Settings.from_yaml(sys.argv[1]))), end="")
