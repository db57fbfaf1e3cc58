"""What the supervisor's model is told: the round before its first turn, and what came of each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from serm.graphs.profile import last_rounds, window_profile
from serm.graphs.questions import question_of
from serm.graphs.resources import Resources
from serm.graphs.state import MINED_FROM, MinerState, SupervisorState
from serm.graphs.training import labels_path, snapshot_path
from serm.storage.labels import read_labels
from serm.storage.snapshots import read_snapshot
from serm.tools.result import result, with_room_for

QUESTIONS: Final = 2
"""Questions that a person may be asked in a round; chosen."""
KEY_LENGTH: Final = 20
"""Characters of a name from the data: twelve such keys leave room in 2 KB for the rest; chosen."""
PERSON_LENGTH: Final = 60
"""Characters of a person's name, so that the answer has the room; chosen."""


def briefing(resources: Resources, state: SupervisorState) -> str:
    """The task of a round: two small JSON objects, the window's profile and the limits."""
    profile = window_profile(resources, miner_state(state))
    settings, number = resources.settings, state["round"]
    limits = {
        "round": number,
        "rounds_left": rounds_left(resources, number),
        "pairs_this_round": pairs_allowed(resources, number),
        "money_left": money_left(resources),
        "turns": settings.agents.max_steps,
        "questions": QUESTIONS if settings.agents.ask else 0,
        "roll_backs_in_a_row": state["rollbacks"],
        "roll_backs_that_end_the_run": settings.evolution.patience,
        "you_stopped_the_run_before": state.get("halts", 0),
    }
    return "\n".join(
        [
            f"Round {number}. What is known of its window and of the last round's pairs:",
            result(profile),
            "The gate's last decisions:",
            result({"last_rounds": last_rounds(resources)}),
            "Your limits:",
            result(limits),
        ]
    )


def told_of(resources: Resources, state: SupervisorState) -> str:
    """What came of the step that was decided last, in less than 2 KB of JSON; a person's answer has all that
    the rest leaves of it."""
    found = _TOLD[state["supervision"]["act"]](resources, state)
    return result(with_room_for("answer", {**found, "money_left": money_left(resources)}))


def pairs_allowed(resources: Resources, number: int) -> int:
    return resources.settings.budget.pairs_of(resources.window(number).pairs)


def money_left(resources: Resources) -> float | None:
    """None where the config sets no limit."""
    limit = resources.settings.budget.currency
    return None if limit is None else round(limit - resources.judgments.spent(), 4)


def rounds_left(resources: Resources, number: int) -> int:
    """Rounds that the stream and the config leave, this one included."""
    windows, asked = len(resources.dataset.windows), resources.settings.evolution.rounds
    return (windows if asked is None else min(windows, asked)) - number + 1


def miner_state(state: SupervisorState) -> MinerState:
    """What the miner would be handed."""
    kept = {key: value for key, value in state.items() if key in ("round", *MINED_FROM)}
    return cast(MinerState, kept)


def _mined(resources: Resources, state: SupervisorState) -> dict[str, Any]:
    sample = resources.sample(state["sample"])
    return {
        "pairs": len(sample),
        "by_agent": _counted(sample["agent"]),
        "queries": int(sample["query_id"].nunique()),
        "languages": _counted(sample["language"]),
    }


def _labelled(resources: Resources, state: SupervisorState) -> dict[str, Any]:
    labels = read_labels(labels_path(resources, state["labels"]))
    return {
        "pairs": len(labels),
        "kept": int(labels["grade"].notna().sum()),
        "outcomes": _counted(labels["outcome"]),
        "grades": _counted(labels["grade"].dropna().astype(int)),
        "cost": round(float(labels["cost"].sum()), 4),
    }


def _trained(resources: Resources, state: SupervisorState) -> dict[str, Any]:
    snapshot = read_snapshot(snapshot_path(resources, state["snapshot"]))
    told: dict[str, Any] = {"trained_on": _counted(snapshot["origin"])}
    if state["challenger"] == state["champion"]:
        told["why"] = "no label was kept, so there was nothing to train on: the challenger is the champion"
    return told


def _answered(resources: Resources, state: SupervisorState) -> dict[str, Any]:
    said = question_of(resources, state).answer or {"answer": None}
    if said["answer"] is None:
        return {"answer": None, "why": "the person has no answer"}
    return {"answer": said["answer"], "by": said["person"][:PERSON_LENGTH]}


def _counted(values: Any) -> dict[str, int]:
    """How often each comes, the first twelve. Names that begin alike count as one: a column of texts that is
    taken for one of languages must not end the round."""
    return dict(sorted(Counter(str(value)[:KEY_LENGTH] for value in values.tolist()).items())[:12])


_TOLD: Final[Mapping[str, Callable[[Resources, SupervisorState], dict[str, Any]]]] = {
    "mine": _mined,
    "annotate": _labelled,
    "retrain": _trained,
    "ask_person": _answered,
}
