"""The loop, on one screen.

prepare -> open_window -> mine -> annotate -> review -> snapshot -> train -> gate -> promote | roll_back -+
              ^                                                                                          |
              |                                                                       evaluate -> close <-+
              +-- until the stream, the rounds, the budget or the patience run out ----+

`review` is there with `agreement.human_review` alone: it waits for a person.

Where a chat model supervises, it is asked before each of the four steps of a round and none is taken but what
it decided on: mine, annotate (and review), retrain (snapshot, train), evaluate (the gate and what follows).

open_window | mine | annotate | train | ask_person -> tell -> supervise -> mine | annotate | snapshot | gate |
                                                                ^     |    ask_person | the end
                                                                +-----+  a call that was wrong
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from serm.graphs.annotator import annotator_graph
from serm.graphs.history import newest_alone
from serm.graphs.miner import miner_graph
from serm.graphs.resources import Resources
from serm.graphs.state import SupervisorState
from serm.graphs.supervising import SupervisingNodes
from serm.graphs.supervisor_nodes import SupervisorNodes
from serm.graphs.tracing import traced, watched

STEPS: Final = ("mine", "annotate", "snapshot", "gate")
"""Where the four steps of a round begin."""

ACTS: Final[Mapping[str, str]] = {
    "mine": "mine",
    "annotate": "annotate",
    "retrain": "snapshot",
    "evaluate": "gate",
    "ask_person": "ask_person",
    "stop": END,
    "": "supervise",
}
"""From what a chat model decided to the node that does it. None promotes: that is the gate's alone."""


def supervisor_graph(
    resources: Resources, checkpointer: BaseCheckpointSaver[Any] | None = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Wire the loop over `resources`."""
    nodes = SupervisorNodes(resources, mine=miner_graph(resources), annotate=annotator_graph(resources))
    graph = StateGraph(SupervisorState)
    rounds = resources.workspace.rounds
    for node in (nodes.prepare, nodes.open_window, nodes.close):
        graph.add_node(node.__name__, watched(resources, newest_alone(rounds, node)))
    for node in (
        nodes.mine,
        nodes.annotate,
        nodes.snapshot,
        nodes.train,
        nodes.gate,
        nodes.promote,
        nodes.roll_back,
        nodes.evaluate,
    ):
        graph.add_node(node.__name__, traced(resources, newest_alone(rounds, node)))
    review = resources.settings.agreement.human_review
    if review:
        graph.add_node("review", traced(resources, nodes.review))
        graph.add_edge("annotate", "review")
    graph.add_edge(START, "prepare")
    graph.add_conditional_edges("prepare", _next_window)
    for before, step in zip(
        ("open_window", "mine", "review" if review else "annotate", "train"), STEPS, strict=True
    ):
        graph.add_edge(before, "tell" if nodes.supervising.supervised else step)
    if nodes.supervising.supervised:
        _supervise(graph, resources, nodes.supervising)
    graph.add_edge("snapshot", "train")
    graph.add_conditional_edges("gate", _verdict)
    graph.add_edge("promote", "evaluate")
    graph.add_edge("roll_back", "evaluate")
    graph.add_edge("evaluate", "close")
    graph.add_conditional_edges("close", _next_window)
    return graph.compile(checkpointer=checkpointer, name="supervisor")


def _supervise(graph: StateGraph[Any, Any, Any, Any], resources: Resources, nodes: SupervisingNodes) -> None:
    """A chat model between the steps."""
    for node in (nodes.tell, nodes.supervise, nodes.ask_person):
        graph.add_node(node.__name__, traced(resources, node))
    graph.add_edge("tell", "supervise")
    graph.add_edge("ask_person", "tell")
    graph.add_conditional_edges("supervise", _decided, [*STEPS, "ask_person", "supervise", END])


def _decided(state: SupervisorState) -> str:
    return ACTS[state["supervision"]["act"]]


def _next_window(state: SupervisorState) -> Literal["open_window", "__end__"]:
    return "__end__" if state.get("stop") else "open_window"


def _verdict(state: SupervisorState) -> Literal["promote", "roll_back"]:
    return "promote" if state["verdict"] == "promoted" else "roll_back"
