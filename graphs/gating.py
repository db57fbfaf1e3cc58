"""The gate's step: score the opened gate rows with both models, decide, keep the evidence."""

from __future__ import annotations

from pathlib import Path

from serm.core.columns import KEY
from serm.core.records import Decision
from serm.evals.gate import decide
from serm.evals.listed import rows_by_window
from serm.evals.plain import plain
from serm.graphs.gate_panel import gate_scores, judged_gate
from serm.graphs.resources import Resources
from serm.graphs.state import SupervisorState
from serm.graphs.training import round_folder
from serm.storage.artifacts import write_json


def hold_gate(resources: Resources, state: SupervisorState) -> Decision:
    """Champion against challenger on the gate rows that are open in this round.

    Raises what judges raise where the panel takes part (`gate.judged_share`).
    """
    number, settings = state["round"], resources.settings
    frame = resources.human_graded(number)
    decision = decide(
        frame,
        gate_scores(resources, frame, state["champion"]),
        gate_scores(resources, frame, state["challenger"]),
        settings=settings.gate,
        newest_window=number - 1,
        looks=state["looks"] + 1,
        seed=settings.random_seed,
        asked=rows_by_window(frame, resources.dataset.gate_lists(number - 1, [*KEY, "window"])),
        judged=judged_gate(resources, state),
    )
    write_json(decision_path(resources, number), plain(decision))
    return decision


def decision_path(resources: Resources, number: int) -> Path:
    return round_folder(resources, number) / "decision.json"
