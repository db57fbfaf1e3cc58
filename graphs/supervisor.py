"""The loop, on one screen.

prepare -> open_window -> mine -> annotate -> review -> snapshot -> train -> gate -> promote | roll_back -+
              ^                                                                                          |
              |                                                                       evaluate -> close <-+
              +-- until the stream, the rounds, the budget or the patience run out ----+

`review` is there with `agreement.human_review` alone: it waits for a person.
"""

from __future__ import annotations

from typing import Any, Literal

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from serm.graphs.annotator import annotator_graph
from serm.graphs.miner import miner_graph
from serm.graphs.resources import Resources
from serm.graphs.state import SupervisorState
from serm.graphs.supervisor_nodes import SupervisorNodes
from serm.graphs.tracing import traced, watched


def supervisor_graph(
    resources: Resources, checkpointer: BaseCheckpointSaver[Any] | None = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Wire the loop over `resources`."""
    nodes = SupervisorNodes(resources, mine=miner_graph(resources), annotate=annotator_graph(resources))
    graph = StateGraph(SupervisorState)
    for node in (nodes.prepare, nodes.open_window, nodes.close):
        graph.add_node(node.__name__, watched(resources, node))
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
        graph.add_node(node.__name__, traced(resources, node))
    graph.add_edge(START, "prepare")
    graph.add_conditional_edges("prepare", _next_window)
    graph.add_edge("open_window", "mine")
    graph.add_edge("mine", "annotate")
    if resources.settings.agreement.human_review:
        graph.add_node("review", traced(resources, nodes.review))
        graph.add_edge("annotate", "review")
        graph.add_edge("review", "snapshot")
    else:
        graph.add_edge("annotate", "snapshot")
    graph.add_edge("snapshot", "train")
    graph.add_edge("train", "gate")
    graph.add_conditional_edges("gate", _verdict)
    graph.add_edge("promote", "evaluate")
    graph.add_edge("roll_back", "evaluate")
    graph.add_edge("evaluate", "close")
    graph.add_conditional_edges("close", _next_window)
    return graph.compile(checkpointer=checkpointer, name="supervisor")


def _next_window(state: SupervisorState) -> Literal["open_window", "__end__"]:
    return "__end__" if state.get("stop") else "open_window"


def _verdict(state: SupervisorState) -> Literal["promote", "roll_back"]:
    return "promote" if state["verdict"] == "promoted" else "roll_back"
