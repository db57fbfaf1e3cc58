"""The models of a workspace, each in a folder named by what it was made from."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from serm.core.hashing import digest
from serm.core.settings_loop import PACKAGED_MODEL, ModelSettings, TrainingSettings
from serm.relevance_model.base import RelevanceModel
from serm.relevance_model.description import UNTRAINED
from serm.relevance_model.identity import folder_id
from serm.relevance_model.loading import base_location, load_model, open_base
from serm.relevance_model.lower import SharedLayers
from serm.relevance_model.train import calibrate, train
from serm.storage.artifacts import find_or_create

KEPT_OPEN = 4
"""Models in memory: untrained, frozen, champion and challenger are all that a round needs."""


class ModelVersions:
    """Find or make models by key, and open them. A key names the inputs, so the same inputs train once."""

    def __init__(
        self,
        folder: Path,
        embeddings: Path,
        settings: ModelSettings,
        base: ModelSettings | None = None,
        shared: SharedLayers | None = None,
    ) -> None:
        """`base`: the same settings with the base's place made absolute.
        `shared`: lower layers that training never changes."""
        self._shared = shared
        self._folder, self._embeddings, self._settings = folder, embeddings, settings
        self._base = base or settings
        self._open: OrderedDict[str, RelevanceModel] = OrderedDict()
        self._lock = threading.Lock()

    def path(self, key: str) -> Path:
        return self._folder / key

    def untrained(self) -> str:
        """The base model as it comes, with the head's stated defaults."""
        key = f"{UNTRAINED}{digest(self._settings.model_dump(mode='json') | self._shared_base())}"
        find_or_create(self._folder, key, lambda folder: open_base(self._base, None).save(folder))
        return key

    def _shared_base(self) -> dict[str, str]:
        """What stands for the base in a key that several workspaces may use: what is in its folder, for under
        one path another config may have another model. A package and a hub's id say what they are, and in a
        workspace of its own the config's words are enough."""
        if self._settings.base == PACKAGED_MODEL or not self._folder.is_symlink():
            return {}
        folder = Path(base_location(self._base.base))
        return {"base": folder_id(folder)} if folder.is_dir() else {}

    def trained(
        self,
        start: str,
        snapshot: pd.DataFrame,
        gate: pd.DataFrame,
        training: TrainingSettings,
        *,
        inputs: str,
        seed: int,
        epochs: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> str:
        """Train from `start` on a snapshot and calibrate on gate rows; `inputs` hashes both tables."""
        key = digest([start, inputs, training.model_dump(mode="json"), seed, epochs])

        def make(folder: Path) -> None:
            model = train(self.open(start), snapshot, training, seed=seed, epochs=epochs, progress=progress)
            calibrate(model, gate).save(folder)

        find_or_create(self._folder, key, make)
        return key

    def open(self, key: str) -> RelevanceModel:
        """The model of that key, from memory where it is there. Raises ModelError where it is unreadable."""
        with self._lock:
            if key not in self._open:
                self._open[key] = load_model(self.path(key), self._settings, self._embeddings, self._shared)
                while len(self._open) > KEPT_OPEN:
                    self._open.popitem(last=False)
            self._open.move_to_end(key)
            return self._open[key]
