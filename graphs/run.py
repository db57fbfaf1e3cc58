"""Run the loop from Python: `evolve(settings)`, or `build_supervisor_graph(settings)` for its graph."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.errors import GraphDrained
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl
from langgraph.types import Command, StateSnapshot

from serm.core.errors import BudgetExceededError
from serm.core.settings import Settings
from serm.graphs.events import Event, Listener, nobody
from serm.graphs.history import Checkpoints
from serm.graphs.notices import data_notices, language_notices, model_notices
from serm.graphs.resources import Resources
from serm.graphs.steering import steered
from serm.graphs.stopping import money_is_spent
from serm.graphs.supervisor import STEPS, supervisor_graph
from serm.graphs.waiting import Wait, what_waits
from serm.llm.brake import StopRequestedError
from serm.storage.artifacts import sqlite_errors
from serm.storage.rounds import read_rounds
from serm.storage.workspace import Workspace

Graph = CompiledStateGraph[Any, Any, Any, Any]

THREAD = "evolution"
"""The one LangGraph thread of a workspace."""

_STEPS_A_ROUND = 12  # supervisor steps, with room to spare; LangGraph's own default limit is 10007
_STEPS_A_TURN = 3  # of a model that supervises: the step that it wants, being told of it, the next turn


@dataclass(frozen=True, slots=True)
class EvolutionResult:
    """What a run left: the reports of all finished rounds, the model in use, and why it ended."""

    workspace: Path
    rounds: tuple[dict[str, Any], ...]  # round.json of each round; the first is round 0, before any mining
    champion: str  # the key of the model in use: a folder in the workspace's models/
    stop: str  # "" where it was asked to stop before its end: the same call goes on
    waiting: int = 0  # pairs that a person is to answer before the same call goes on (`serm review`)
    question: str = ""  # of the supervisor, likewise (`serm answer`)
    out_of_money: bool = False  # `stop` says so; under a larger `budget.currency` the same call goes on

    @property
    def ended(self) -> bool:
        """Whether the same call would find nothing more to do."""
        return bool(self.stop) and not (self.waiting or self.question or self.out_of_money)


def evolve(
    settings: Settings,
    *,
    rounds: int | None = None,
    on_event: Listener = nobody,
    control: RunControl | None = None,
    accept_changes: bool = False,
) -> EvolutionResult:
    """Run rounds until the stream, the budget, the patience or `rounds` (in all) ends.

    Called again on the same workspace it goes on where it stopped, also after a kill. `control` stops it at
    the end of the step in progress (`control.request_drain()`, from any thread); while judges are asked, once
    the calls in flight have ended. A `Control` can give those up, too (`control.abort()`); Ctrl-C does.
    `accept_changes`: go on under settings whose judges, agents, budget or gate are others than before; what
    changed is written to the workspace's changes.jsonl.
    Raises SermError: bad data, a judge that cannot work, a full disk, a workspace in use or another config's.
    """
    if accept_changes:
        Workspace.accept(settings)
    if rounds is not None:
        evolution = settings.evolution.model_copy(update={"rounds": rounds})
        settings = settings.model_copy(update={"evolution": evolution})
    with Resources(settings, on_event) as resources, sqlite_errors(resources.workspace.checkpoints):
        graph = _compile(resources)
        config = run_config(settings, len(resources.dataset.windows))
        _tell_notices(resources)
        stopped, out_of_money, wait = False, "", Wait()
        try:
            with steered(resources, control):
                wait = _drive(graph, config, resources, control)
        except (GraphDrained, StopRequestedError):
            stopped = True
        except BudgetExceededError as error:  # what was paid for is kept; a larger budget goes on from here
            out_of_money = str(error)
        state = graph.get_state(config).values
        money = settings.budget.currency
        no_further = money is not None and state.get("stop") == money_is_spent(money)
        return EvolutionResult(
            workspace=resources.workspace.folder,
            rounds=tuple(read_rounds(resources.workspace.rounds)),
            champion=state.get("champion", ""),
            stop="" if stopped else out_of_money or (wait.sentence if wait else state.get("stop", "")),
            waiting=wait.pairs,
            question=wait.question,
            out_of_money=bool(out_of_money) or no_further,
        )


def build_supervisor_graph(settings: Settings, on_event: Listener = nobody) -> Graph:
    """The compiled supervisor graph with its SQLite checkpoints: stream it, draw it, read its history.

    Give it `run_input(graph, settings)` and `run_config(settings)`. It holds the workspace's lock until it is
    garbage-collected; `open_supervisor_graph` frees it at the end of a block. Rounds that are behind are not
    run again: the models and reports of later ones rest on them, so going back to a checkpoint of theirs is a
    WorkspaceError.
    """
    resources = Resources(settings, on_event)
    graph = _compile(resources)
    weakref.finalize(graph, resources.close)
    return graph


@contextmanager
def open_supervisor_graph(settings: Settings, on_event: Listener = nobody) -> Iterator[Graph]:
    """The same graph for a block, at whose end the workspace is free again.

        with open_supervisor_graph(settings) as graph:
            for step in graph.stream(run_input(graph, settings), run_config(settings)):
                print(step)

    It is synchronous, as its checkpoints are: in an event loop give the block a thread. Ctrl-C gives up the
    calls in flight; to go on open it anew.
    """
    with Resources(settings, on_event) as resources, steered(resources):
        yield _compile(resources)


def run_input(graph: Graph, settings: Settings) -> Any:
    """What to give the graph: {"stop": ""} begins a run, or goes on with one that had ended; None goes on
    with one that was stopped or killed on its way; a Command with one that waited for a person and has the
    answers. While it waits it interrupts again: `pending_review` and `pending_question` say for what."""
    found = graph.get_state(run_config(settings))
    if found.interrupts and not what_waits(settings.workspace_path, found.interrupts[0].value):
        return Command(resume=True)
    return _input(found)


def run_config(settings: Settings, windows: int = 1_000) -> RunnableConfig:
    """The config of the workspace's one thread, with a step limit that no honest run reaches."""
    limit = settings.evolution.rounds or windows
    steps = _STEPS_A_ROUND + _STEPS_A_TURN * (settings.agents.max_steps + len(STEPS))
    return {"configurable": {"thread_id": THREAD}, "recursion_limit": steps * (limit + 1)}


def _tell_notices(resources: Resources) -> None:
    """What is worth a line before the first step, each time; the model is looked at before round 0 alone."""
    settings, dataset = resources.settings, resources.dataset
    notices = list(data_notices(dataset))
    if not read_rounds(resources.workspace.rounds):
        notices += language_notices(dataset, settings.base_model, settings.random_seed)
        base = resources.models.open(resources.models.untrained())  # which round 0 opens next
        notices += (f"{notice} {remedy}" for notice, remedy in model_notices(base.network, settings))
    for notice in notices:
        resources.emit(Event(0, "", notice))


def _drive(graph: Graph, config: RunnableConfig, resources: Resources, control: RunControl | None) -> Wait:
    """Run until the loop ends or waits for a person: for what."""
    found = graph.get_state(config)
    start: Any = _input(found)
    while True:
        if found.interrupts:
            if wait := what_waits(resources.workspace.folder, found.interrupts[0].value):
                return wait
            start = Command(resume=True)  # the answers are in the workspace
        for _ in graph.stream(start, config, stream_mode="updates", control=control):
            pass
        found = graph.get_state(config)
        if not found.interrupts:
            return Wait()


def _input(found: StateSnapshot) -> dict[str, str] | None:
    # A run that ended says so in its state. `next` of the state does not tell: it is empty, too, where a
    # kill came after a step had written its result and before its checkpoint.
    return None if found.values and not found.values.get("stop") else {"stop": ""}


def _compile(resources: Resources) -> Graph:
    connection = sqlite3.connect(resources.workspace.checkpoints, check_same_thread=False)
    resources.on_close(connection.close)
    serde = JsonPlusSerializer(allowed_msgpack_modules=())
    saver = Checkpoints(connection, serde=serde, rounds=resources.workspace.rounds)
    return supervisor_graph(resources, saver)
