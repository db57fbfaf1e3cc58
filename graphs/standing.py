"""Where a run stands before a window: the state that the miner would be handed there.

Commands that look at one window, or mine it alone, start from this. It is read from the rounds' reports; what
no round has made yet is the base model, or the first model where one is asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serm.core.errors import ConfigError
from serm.core.settings import Settings
from serm.graphs.events import Listener, nobody
from serm.graphs.resources import Resources
from serm.graphs.state import MinerState
from serm.graphs.training import train_seed_model
from serm.relevance_model.registry import CHAMPION
from serm.storage.dataset import DataSet
from serm.storage.rounds import read_rounds
from serm.storage.workspace import CONFIG


@contextmanager
def looked_at(settings: Settings, on_event: Listener = nobody) -> Iterator[Resources]:
    """Resources to look with: of the workspace where there is one, else of one that is gone afterwards.

    Looking binds no workspace to a config that may still change. Raises WorkspaceLockedError where a run is
    at work in the workspace.
    """
    if (settings.workspace_path / CONFIG).is_file():
        with Resources(settings, on_event) as resources:
            yield resources
        return
    with tempfile.TemporaryDirectory(prefix="serm-") as folder:
        storage = settings.storage.model_copy(update={"database": None, "mlflow": None})
        elsewhere = settings.model_copy(update={"workspace": Path(folder) / "workspace", "storage": storage})
        elsewhere._folder = settings.folder
        with Resources(elsewhere, on_event) as resources:
            yield resources


def window_number(dataset: DataSet, asked: str | None) -> int:
    """The number of a window, from 1: by its number or its name; the last one where none is asked for.

    Raises ConfigError that names the windows there are.
    """
    names = [window.name for window in dataset.windows]
    if not names:
        raise ConfigError("the stream has no window.", "`serm doctor CONFIG` says where the rows went.")
    if asked is None:
        return len(names)
    if asked in names:
        return names.index(asked) + 1
    if asked.isdecimal() and 1 <= int(asked) <= len(names):
        return int(asked)
    there = ", ".join(f"{number} ({name})" for number, name in enumerate(names, start=1))
    raise ConfigError(f"there is no window {asked}.", f"The windows are {there}.")


def standing(resources: Resources, number: int, *, trained: bool) -> MinerState:
    """The miner's state before window `number`: models and labels as the rounds before left them.

    Where the run has come past the window, it is as the window's own round had it; where it has not come so
    far, as it stands now, with the model in use. Without any round the model is the first one, trained on
    the seed, where `trained`; else the base.
    """
    untrained = resources.models.untrained()
    reports = read_rounds(resources.workspace.rounds)
    state = MinerState(round=number, untrained=untrained, previous=untrained, earlier_labels=[])
    if not reports:
        state["champion"] = train_seed_model(resources, untrained) if trained else untrained
        return state
    champion = str(reports[0]["models"]["frozen"])
    for report in reports[1:]:
        if report["round"] >= number:
            champion = str(report["models"]["champion_before"])
            break
        if report["verdict"] == "promoted":
            state["previous"] = str(report["models"]["champion_before"])
        champion = str(report["models"]["champion_after"])
        state["earlier_labels"].append(Path(report["labels"]).parent.name)
    else:
        bearer = resources.registry.alias(CHAMPION)  # a person may have moved it
        champion = bearer[1] if bearer else champion
    state["champion"] = champion
    return state
