"""What the annotator works with where there is no loop: a frame of pairs, and a workspace of its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import pandas as pd

from serm.core.columns import KEY
from serm.core.hashing import digest, digest_texts
from serm.core.records import PairKey
from serm.core.settings import Settings
from serm.graphs.events import Event, Listener, nobody
from serm.graphs.panel_resources import PanelResources
from serm.storage.knowledge import Knowledge, open_knowledge
from serm.storage.sealed import SealedGrades
from serm.storage.workspace import ANNOTATE, Workspace

_TEXTS = ("query", "title", "text", "language", "source")


class PairsResources(PanelResources):
    """`pairs` and `gold` are as storage/pairs.py gives them. Their work is round 1, the only one."""

    def __init__(
        self,
        settings: Settings,
        pairs: pd.DataFrame,
        gold: pd.DataFrame | None = None,
        on_event: Listener = nobody,
    ) -> None:
        super().__init__(settings, Workspace.open(settings, ANNOTATE), on_event)
        self._pairs, self._gold = pairs, pairs.iloc[:0] if gold is None else gold
        self._proven = False

    @cached_property
    def name(self) -> str:
        """Hash of the pairs and their texts."""
        return digest_texts(text for name in (*KEY, *_TEXTS) for text in self._pairs[name])

    def sample(self, name: str) -> pd.DataFrame:  # noqa: ARG002 - there is one
        return self.once("sample", lambda: self._pairs.drop(columns="grade"))

    def human_graded(self, number: int) -> pd.DataFrame:  # noqa: ARG002
        return self._gold

    def truth(self, number: int) -> Mapping[PairKey, int] | None:  # noqa: ARG002
        """The pairs' own grades and the gold's, where there are any."""
        graded = pd.concat([self._pairs, self._gold])[[*KEY, "grade"]].dropna(subset=["grade"])
        return SealedGrades(lambda: graded) if len(graded) else None

    def open_knowledge(self, number: int) -> Knowledge:
        """Over the documents of the pairs themselves; there are no earlier labels."""
        from serm.relevance_model.versions import ModelVersions  # torch, for judges that search alone

        settings = self.settings
        models = ModelVersions(
            self.workspace.models, self.workspace.embeddings, settings.model, settings.base_model
        )
        return open_knowledge(
            self.workspace.knowledge,
            settings.storage.chroma,
            models.open(models.untrained()),
            self._pairs[[*KEY, "query", "title", "text"]],
            None,
            progress=lambda done, total: self.emit(Event(number, "knowledge", done=done, total=total)),
        )

    def before_asking(self, number: int, asking: Mapping[str, pd.DataFrame]) -> None:
        """Have the judges show that they work, once, where something is to be asked of a server."""
        panel = self.panel(number)
        if self._proven or not any(
            name in panel.remote and panel.open_to(name, rows, self.judgments)
            for name, rows in asking.items()
        ):
            return
        self.emit(Event(number, "prove"))
        self.prove_judges(number)
        self._proven = True

    def trace_id(self, number: int) -> str:
        return digest([self.settings.fingerprint(), str(self.workspace.folder), self.name, number])
