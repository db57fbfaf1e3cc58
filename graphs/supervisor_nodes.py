"""The nodes of the loop: each reads state, calls one part, and returns what changed."""

from __future__ import annotations

import time
from typing import Any

from langgraph.graph.state import CompiledStateGraph

from serm.graphs.answered import require_answers
from serm.graphs.closing import close_round
from serm.graphs.gating import hold_gate
from serm.graphs.registering import champion_of
from serm.graphs.reporting import report_round, report_start
from serm.graphs.resources import Resources
from serm.graphs.reviewing import review_dropped
from serm.graphs.state import MINED_FROM, SupervisorState
from serm.graphs.stopping import why_stop
from serm.graphs.supervising import FRESH, SupervisingNodes
from serm.graphs.training import make_snapshot, train_challenger, train_seed_model
from serm.relevance_model.registry import CHALLENGER, CHAMPION
from serm.storage.trace import SpanKind, span

Graph = CompiledStateGraph[Any, Any, Any, Any]
Update = dict[str, Any]


class SupervisorNodes:
    def __init__(self, resources: Resources, *, mine: Graph, annotate: Graph) -> None:
        self._, self._mine, self._annotate = resources, mine, annotate
        self.supervising = SupervisingNodes(resources)

    def prepare(self, state: SupervisorState) -> Update:
        """Read the data and make the first two models; later, only see whether there is more to do."""
        if "champion" in state:  # a registry that was lost is made anew also where no round is left to run
            return {"champion": champion_of(self._, state), "stop": why_stop(self._, state)}
        untrained = self._.models.untrained()
        frozen = train_seed_model(self._, untrained)
        self._.register(untrained, round=0, role="untrained")
        self._.register(frozen, round=0, role="frozen", alias=CHAMPION)
        first = SupervisorState(
            round=0,
            untrained=untrained,
            frozen=frozen,
            champion=frozen,
            previous=untrained,
            earlier_labels=[],
            rollbacks=0,
            looks=0,
        )
        report_start(self._, first)
        return {**first, "stop": why_stop(self._, first)}

    def open_window(self, state: SupervisorState) -> Update:
        """Take the next window. The model in use is whatever bears the alias: a person may have moved it.

        It opens, and every judge shows that it works, before anything is mined: of a round that has begun the
        model in use is fixed.
        """
        champion = champion_of(self._, state)  # before the judges are proven: one may grade by it
        self._.models.open(champion)
        self._.prove_judges(state["round"] + 1)
        return {
            "round": state["round"] + 1,
            "started": time.time_ns(),
            "champion": champion,
            "supervision": FRESH,  # under rules, too: what a model wanted of the last round is over
            "pairs": 0,
        }

    def mine(self, state: SupervisorState) -> Update:
        return {"sample": _invoke(self._mine, state, *MINED_FROM)["sample"]}

    def annotate(self, state: SupervisorState) -> Update:
        labels = _invoke(self._annotate, state, "sample")["labels"]
        require_answers(self._, state["round"], labels)
        return {"labels": labels}

    def review(self, state: SupervisorState) -> Update:
        """Have a person settle what the panel dropped. The graph is interrupted until that is done."""
        return {"labels": review_dropped(self._, state)}

    def snapshot(self, state: SupervisorState) -> Update:
        return {"snapshot": make_snapshot(self._, state)}

    def train(self, state: SupervisorState) -> Update:
        challenger = train_challenger(self._, state)
        self._.register(challenger, round=state["round"], role="challenger", alias=CHALLENGER)
        return {"challenger": challenger}

    def gate(self, state: SupervisorState) -> Update:
        decision = hold_gate(self._, state)
        return {
            "verdict": "promoted" if decision.promoted else "rolled_back",
            "looks": decision.looks,
        }

    def promote(self, state: SupervisorState) -> Update:
        self._.register(state["challenger"], round=state["round"], role="challenger", alias=CHAMPION)
        return {"previous": state["champion"], "champion": state["challenger"], "rollbacks": 0}

    def roll_back(self, state: SupervisorState) -> Update:
        """The champion stays; the challenger stays in the registry as evidence."""
        return {"rollbacks": state["rollbacks"] + 1}

    def evaluate(self, state: SupervisorState) -> Update:
        """Measure what came of the round on grades that nothing above has read."""
        report_round(self._, state)
        return {}

    def close(self, state: SupervisorState) -> Update:
        """End the round: its trace and figures go to MLflow. Not traced itself, as it ends the trace."""
        close_round(self._, state)
        done: SupervisorState = {**state, "earlier_labels": [*state["earlier_labels"], state["labels"]]}
        wanted = state["supervision"]["halt"] if "supervision" in state else ""
        return {"earlier_labels": done["earlier_labels"], "stop": why_stop(self._, done) or wanted}


def _invoke(graph: Graph, state: SupervisorState, *keys: str) -> dict[str, Any]:
    """Run a subgraph on the round and some keys of the state, in a span of its own."""
    part = {key: value for key, value in state.items() if key in ("round", *keys)} | {"evolving": True}
    with span(graph.get_name(), SpanKind.GRAPH):
        result: dict[str, Any] = graph.invoke(part)
    return result
