"""The annotator, on one screen.

calibrate -> grade_gold* -> learn -> wave -> judge* -> wave -> ... -> vote -> debate* -> vote_again

* in parallel: a task a judge and shard. The first three do something under the rule `reliability` alone, the
last two where the debate is switched on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send

from serm.graphs.bench import Bench
from serm.graphs.calibrating import Calibrating
from serm.graphs.debating import Debating
from serm.graphs.events import Meter
from serm.graphs.judging import Judging
from serm.graphs.panel_resources import PanelResources
from serm.graphs.state import AnnotatorState, ShardTask
from serm.graphs.tracing import traced

SHARDS_AT_A_TIME: Final = 2
"""Of each judge: while one shard waits for its last calls the next goes on. No more, so that all judges are
at about the same pairs, and a budget that ends has paid for whole ones (chosen)."""


def annotator_graph(resources: PanelResources) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Wire the annotator over `resources`."""
    shared = (resources, Bench(resources), Meter(resources.emit))
    calibrating, judging, debating = Calibrating(*shared), Judging(*shared), Debating(*shared)
    graph = StateGraph(AnnotatorState)
    for node in (
        calibrating.calibrate,
        calibrating.grade_gold,
        calibrating.learn,
        judging.wave,
        judging.judge,
        judging.vote,
        debating.debate,
        debating.vote_again,
    ):
        graph.add_node(node.__name__, traced(resources, node))
    graph.add_edge(START, "calibrate")
    graph.add_conditional_edges("calibrate", _fan_out(calibrating.gold_tasks, "grade_gold", "learn"))
    graph.add_edge("grade_gold", "learn")
    graph.add_edge("learn", "wave")
    graph.add_conditional_edges("wave", _fan_out(judging.tasks, "judge", "vote"))
    graph.add_edge("judge", "wave")
    graph.add_conditional_edges("vote", _fan_out(debating.debate_tasks, "debate", END))
    graph.add_edge("debate", "vote_again")
    graph.add_edge("vote_again", END)
    tasks = SHARDS_AT_A_TIME * max(1, len(resources.settings.judges))
    # No checkpoints of its own: what was answered is in the store, and what failed is asked again.
    return graph.compile(name="annotator", checkpointer=False).with_config(max_concurrency=tasks)


def _fan_out(
    tasks: Callable[[AnnotatorState], Sequence[ShardTask]], node: str, otherwise: str
) -> Callable[[AnnotatorState], list[Send] | str]:
    """Each task to `node`, all in parallel; where there are none, on to `otherwise`."""

    def fan_out(state: AnnotatorState) -> list[Send] | str:
        return [Send(node, task) for task in tasks(state)] or otherwise

    return fan_out
