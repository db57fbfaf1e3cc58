"""Run the miner alone on one window: the same graph as in a round, without labels, training or gate."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from serm.core.settings import Settings
from serm.graphs.events import Listener, nobody
from serm.graphs.miner import miner_graph
from serm.graphs.resources import Resources
from serm.graphs.standing import standing, window_number
from serm.graphs.steering import steered
from serm.llm.brake import StopRequestedError
from serm.storage.reading import read_frame
from serm.storage.trace import fallen_back


@dataclass(frozen=True)
class Mined:
    """What was chosen of a window, and who nominated what."""

    number: int  # of the window, from 1
    window: str
    model: str  # that scored it
    pairs: pd.DataFrame  # the window's columns, with agent, agents, score and reason
    nominated: dict[str, int]  # agent: pairs
    fell_back: dict[str, dict[str, str]]  # agents whose rules went on for their model (storage/trace.py)

    @property
    def taken(self) -> dict[str, int]:
        """Whose share of the budget how many pairs used."""
        return {str(agent): int(count) for agent, count in self.pairs["agent"].value_counts().items()}


def mine(
    settings: Settings,
    window: str | None = None,
    on_event: Listener = nobody,
    *,
    control: RunControl | None = None,
) -> Mined:
    """Choose the pairs of a window (by number or name; the last one by default) that are worth a label.

    Models and earlier labels are those of the run's rounds before it; without any, the first model is
    trained on the seed, as `evolve` would. The run finds the sample again when it comes to the window.

    `control` stops it as it stops `evolve`, with StopRequestedError, and so does Ctrl-C: what agents were
    answered is kept, and the same call goes on.
    """
    with Resources(settings, on_event) as resources, steered(resources, control):
        number = window_number(resources.dataset, window)
        state = standing(resources, number, trained=True)
        try:
            done = miner_graph(resources).invoke(state, control=control)
        except GraphDrained:  # between two steps
            raise StopRequestedError from None
        return Mined(
            number,
            resources.window(number).name,
            state["champion"],
            resources.sample(done["sample"]),
            {agent: len(_nominations(resources, name)) for agent, name in done.get("nominated", {}).items()},
            fallen_back(resources.workspace.traces, resources.trace_id(number)),
        )


def _nominations(resources: Resources, name: str) -> pd.DataFrame:
    return read_frame(resources.workspace.samples / name / "nominations.parquet", ["doc_id"])
