"""When the loop ends."""

from __future__ import annotations

from serm.graphs.resources import Resources
from serm.graphs.state import SupervisorState


def why_stop(resources: Resources, state: SupervisorState) -> str:
    """A sentence that says why there is no next round, or "" where there is one."""
    settings, done = resources.settings, state["round"]
    evolution, money = settings.evolution, settings.budget.currency
    if done >= len(resources.dataset.windows):
        return f"the stream has no further window after {done}"
    if evolution.rounds is not None and done >= evolution.rounds:
        return f"all {evolution.rounds} rounds are done"
    if evolution.patience is not None and state["rollbacks"] >= evolution.patience:
        return f"{state['rollbacks']} roll-backs in a row (evolution.patience)"
    if money is not None and resources.judgments.spent() >= money:
        return money_is_spent(money)
    return ""


def money_is_spent(money: float) -> str:
    """Why there is no next round where it is the money alone: a larger budget goes on."""
    return f"the budget of {money:g} is spent (budget.currency)"
