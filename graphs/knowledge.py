"""What judges may search in a round: the stream up to its window, and what the panel agreed on before it.

Nothing else goes in. No grade of the gate, of a test or of the seed is read, and no sealed one: grades are
those of labels that earlier rounds kept and trained on.
"""

from __future__ import annotations

import json

import pandas as pd

from serm.core.columns import KEY
from serm.graphs.events import Event
from serm.graphs.resources import Resources
from serm.storage.knowledge import Knowledge, open_knowledge

_TEXTS = ["query", "title", "text"]


def round_knowledge(resources: Resources, number: int) -> Knowledge:
    """Open the knowledge base of the workspace and make it hold what round `number` may know.

    Its vectors are the untrained base model's, so that no round has to encode again what an earlier one has.
    """
    windows = [resources.pairs(earlier)[[*KEY, *_TEXTS]] for earlier in range(1, number + 1)]
    labels = [_labels(resources, earlier, windows[earlier - 1]) for earlier in range(1, number)]
    return open_knowledge(
        resources.workspace.knowledge,
        resources.settings.storage.chroma,
        resources.models.open(resources.models.untrained()),
        pd.concat(windows, ignore_index=True),
        pd.concat(labels, ignore_index=True) if labels else None,
        progress=lambda done, total: resources.emit(Event(number, "knowledge", done=done, total=total)),
    )


def _labels(resources: Resources, number: int, window: pd.DataFrame) -> pd.DataFrame:
    """The labels that a finished round kept, with their texts. The round's report says where they are."""
    report = json.loads((resources.workspace.rounds / f"{number:03d}" / "round.json").read_text("utf-8"))
    labels = pd.read_parquet(
        resources.workspace.folder / report["labels"], columns=[*KEY, "grade", "outcome"]
    ).dropna(subset=["grade"])
    return labels.merge(window, on=list(KEY), how="inner", validate="one_to_one")
