"""The miner: score the window, let every agent nominate in parallel, select under one budget."""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from serm.graphs.miner_nodes import MinerNodes
from serm.graphs.resources import Resources
from serm.graphs.state import MinerState
from serm.graphs.tracing import traced


def miner_graph(resources: Resources) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Wire score -> plan -> agents -> select. Only a chat model plans; under `choice: random` nobody does."""
    nodes = MinerNodes(resources)
    graph = StateGraph(MinerState)
    graph.add_node("score", traced(resources, nodes.score))
    graph.add_node("select", traced(resources, nodes.select))
    graph.add_edge(START, "score")
    before = "score"
    if nodes.planned:
        before = "plan"
        graph.add_node("plan", traced(resources, nodes.plan))
        graph.add_edge("score", "plan")
    for agent in nodes.agents:
        graph.add_node(agent, traced(resources, nodes.nominate(agent)))
        graph.add_edge(before, agent)
    graph.add_edge(list(nodes.agents) or before, "select")
    graph.add_edge("select", END)
    return graph.compile(name="miner")
