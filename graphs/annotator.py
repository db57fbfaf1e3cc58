"""The annotator: judges in parallel over shards (level 1), then the panel's vote (level 2)."""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send

from serm.graphs.annotator_nodes import AnnotatorNodes
from serm.graphs.resources import Resources
from serm.graphs.state import AnnotatorState
from serm.graphs.tracing import traced


def annotator_graph(resources: Resources) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Wire one task a judge and shard, then one vote over all of them."""
    nodes = AnnotatorNodes(resources)
    graph = StateGraph(AnnotatorState)
    graph.add_node("judge", traced(resources, nodes.judge))
    graph.add_node("vote", traced(resources, nodes.vote))

    def fan_out(state: AnnotatorState) -> list[Send] | str:
        return [Send("judge", task) for task in nodes.tasks(state)] or "vote"

    graph.add_conditional_edges(START, fan_out, ["judge", "vote"])
    graph.add_edge("judge", "vote")
    graph.add_edge("vote", END)
    return graph.compile(name="annotator")
