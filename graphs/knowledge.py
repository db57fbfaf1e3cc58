"""What judges may search in a round: the stream up to its window, and what the panel agreed on before it.

Nothing else goes in. No grade of the gate, of a test or of the seed is read, and no sealed one: grades are
those of labels that earlier rounds kept and trained on.
"""

from __future__ import annotations

import pandas as pd

from serm.core.columns import KEY
from serm.storage.chroma import Progress, silent
from serm.storage.dataset import DataSet
from serm.storage.knowledge import Embedder, Knowledge, open_knowledge
from serm.storage.labels import newest
from serm.storage.reading import read_frame, read_json
from serm.storage.workspace import Workspace

_TEXTS = ["query", "title", "text"]


def round_knowledge(
    number: int,
    workspace: Workspace,
    dataset: DataSet,
    embed: Embedder,
    *,
    url: str | None = None,
    progress: Progress = silent,
) -> Knowledge:
    """Open the knowledge base of a workspace and make it hold what round `number` may know.

    `embed` has to stay the same for a whole run; else every round encodes again what earlier ones have.
    """
    windows = [dataset.window(index, (*KEY, *_TEXTS)) for index in range(number)]
    pairs = pd.concat(windows, ignore_index=True)
    said = [_said(workspace, earlier) for earlier in range(1, number)]
    # A round may label pairs of the windows before its own once more, so texts are looked for in all.
    kept = newest(said).dropna(subset=["grade"]).drop(columns="place") if said else None
    texts = pairs.drop_duplicates([*KEY], keep="last")
    labels = None if kept is None else kept.merge(texts, on=list(KEY), how="inner", validate="one_to_one")
    return open_knowledge(workspace.knowledge, url, embed, pairs, labels, progress=progress)


def _said(workspace: Workspace, number: int) -> pd.DataFrame:
    """The labels of a finished round. Its report says where they are."""
    report = read_json(workspace.rounds / f"{number:03d}" / "round.json")
    return read_frame(workspace.folder / report["labels"], [*KEY, "grade", "outcome"])
