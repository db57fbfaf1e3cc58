"""The model that a workspace has in use, or another of its versions, for whoever ranks with it.

model = open_model(Settings.from_yaml("serm.yaml"))
scores = model.score(["a query", "a query"], ["one document", "another"])
scores.expected       # (2,) grades from 0 to 3: rank by these
scores.probabilities  # (2, 4)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serm.core.errors import ModelError
from serm.core.settings import Settings
from serm.graphs.resources import shared_layers
from serm.relevance_model.base import RelevanceModel
from serm.relevance_model.loading import load_model
from serm.relevance_model.registry import ModelRegistry
from serm.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Weights:
    """One version of a workspace's model, and where it lies."""

    version: int  # from 1, as `serm models` lists them
    model_id: str
    folder: Path  # what SentenceTransformer or CrossEncoder opens, and serm.json beside it


def find_weights(workspace: Workspace, version: int | None = None) -> Weights:
    """A version of a workspace's model; None: the champion. The workspace may be at work.

    Raises ModelError where there is no such version, or its weights are gone.
    """
    found = ModelRegistry(workspace.found_mlflow(), workspace.registered_as).find(version)
    folder = workspace.models / found.model_id
    if not folder.is_dir():
        raise ModelError(
            f"the weights of version {found.version} are not in {workspace.models}.",
            "Put the folder back, or choose another version.",
        )
    return Weights(found.version, found.model_id, folder)


def open_model(settings: Settings, version: int | None = None) -> RelevanceModel:
    """The champion of a config's workspace, or another version, on the config's device.

    Needs no lock: a run may go on meanwhile, and what is open stays what it is. It remembers the vector of
    every text that it has read, in memory alone, and reads them through the layers that a run shares, to the
    last bit as the gate did. Raises WorkspaceError where there is no workspace,
    ModelError where there is no such version, or its weights are gone or broken.
    """
    workspace = Workspace.read(settings.workspace_path, settings)
    weights = find_weights(workspace, version)
    return load_model(weights.folder, settings.model, None, shared_layers(settings, workspace, add=False))
