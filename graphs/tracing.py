"""Every node is announced to whoever watches, and runs in a span of its own under the round's trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langgraph.errors import GraphInterrupt

from serm.graphs.events import Event
from serm.graphs.panel_resources import PanelResources
from serm.storage.trace import SpanKind, span

Node = Callable[[Any], dict[str, Any]]

# Both return a Node, typed Any: LangGraph's node types name the state, and these serve three of them.


def watched(resources: PanelResources, node: Node) -> Any:
    """The same node, announced: for those that stand between two rounds and belong to neither trace."""

    def run(state: Mapping[str, Any]) -> dict[str, Any]:
        resources.emit(Event(int(state.get("round", 0)), node.__name__))
        return node(state)

    run.__name__ = node.__name__
    return run


def traced(resources: PanelResources, node: Node) -> Any:
    """The same node, announced, with a span around it that keeps what it read and what it returned.

    A node that waits for a person has not failed: its span says what it waits for.
    """

    def run(state: Mapping[str, Any]) -> dict[str, Any]:
        waits: GraphInterrupt | None = None
        update: dict[str, Any] = {}
        with (
            resources.traced_round(int(state["round"])),
            span(node.__name__, SpanKind.NODE, **state) as current,
        ):
            try:
                update = node(state)
                current.outputs = update
            except GraphInterrupt as interrupted:
                waits = interrupted
                current.outputs = current.attributes["waits"] = [item.value for item in waits.args[0]]
        if waits is not None:
            raise waits
        return update

    run.__name__ = node.__name__
    return watched(resources, run)
