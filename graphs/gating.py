"""The gate's step: score the opened gate rows with both models, decide, keep the evidence."""

from __future__ import annotations

from pathlib import Path

from serm.core.hashing import digest
from serm.core.records import Decision
from serm.evals.gate import decide
from serm.evals.plain import plain
from serm.graphs.resources import Resources
from serm.graphs.state import SupervisorState
from serm.graphs.training import gate_key, round_folder
from serm.relevance_model.base import Scores
from serm.relevance_model.scoring import stored_scores
from serm.storage.artifacts import write_json


def hold_gate(resources: Resources, state: SupervisorState) -> Decision:
    """Champion against challenger on the gate rows that are open in this round."""
    number, settings = state["round"], resources.settings
    frame, opened = resources.dataset.gate(number - 1), gate_key(resources, number)

    def scores(model: str) -> Scores:
        key = digest(["gate", opened, model])
        return stored_scores(resources.workspace.scores, key, resources.models.open(model), frame)

    decision = decide(
        frame,
        scores(state["champion"]),
        scores(state["challenger"]),
        settings=settings.gate,
        newest_window=number - 1,
        looks=state["looks"] + 1,
        seed=settings.random_seed,
    )
    write_json(decision_path(resources, number), plain(decision))
    return decision


def decision_path(resources: Resources, number: int) -> Path:
    return round_folder(resources, number) / "decision.json"
