"""The models of a run, registered where the registry knows none of them."""

from __future__ import annotations

from serm.graphs.resources import Resources
from serm.graphs.state import SupervisorState
from serm.relevance_model.registry import CHALLENGER, CHAMPION, PRUNED, WEIGHTS
from serm.storage.rounds import read_rounds


def champion_of(resources: Resources, state: SupervisorState) -> str:
    """The model that bears the alias: a person may have moved it."""
    bearer = resources.registry.alias(CHAMPION)
    if bearer is None:
        _register_anew(resources, state)
    return bearer[1] if bearer else state["champion"]


def _register_anew(resources: Resources, state: SupervisorState) -> None:
    """From the rounds' reports, in their order, so that versions have the numbers that they had.

    There is nothing in the registry where `storage.mlflow` has changed, where the workspace is a copy, and
    where an earlier version of serm had called all workspaces' models by one name.
    """
    models = [(0, "untrained", state["untrained"]), (0, "frozen", state["frozen"])]
    for report in read_rounds(resources.workspace.rounds):
        if challenger := report["models"]["challenger"]:  # round 0 has none
            models.append((report["round"], CHALLENGER, challenger))
    for number, role, model in models:
        alias = CHALLENGER if role == CHALLENGER else ""
        version = resources.register(model, round=number, role=role, alias=alias)
        if not resources.models.path(model).is_dir():
            resources.registry.set_tag(version, WEIGHTS, PRUNED)
    resources.register(state["champion"], round=state["round"], role="champion", alias=CHAMPION)
