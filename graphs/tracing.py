"""Every node runs under the round's tracer, in a span of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from serm.graphs.events import Event
from serm.graphs.resources import Resources
from serm.storage.trace import SpanKind, span

Node = Callable[[Any], dict[str, Any]]


def traced(resources: Resources, node: Node) -> Any:
    """The same node with a span around it that keeps what it read and what it returned.

    Returns a Node; typed Any, because LangGraph's node types name the state and these serve three.
    """

    def run(state: Mapping[str, Any]) -> dict[str, Any]:
        number = int(state.get("round", 0))
        resources.emit(Event(number, node.__name__))
        with resources.traced_round(number), span(node.__name__, SpanKind.NODE, **state) as current:
            current.outputs = node(state)
        return dict(current.outputs)

    run.__name__ = node.__name__
    return run
