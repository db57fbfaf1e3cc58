"""The credit of a round: which agents' labels asked for what the gate asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from serm.core.columns import KEY
from serm.evals.plain import plain
from serm.graphs.resources import Resources
from serm.graphs.state import SupervisorState
from serm.graphs.training import labelled_pairs, one_hot, round_folder
from serm.relevance_model.base import FloatArray
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.examples import Examples, examples
from serm.relevance_model.slopes import loss_slopes
from serm.storage.artifacts import write_json
from serm.storage.reading import read_json
from serm.tools.credit import by_agent, credited, credits, wanted_step


def credit_round(resources: Resources, state: SupervisorState) -> dict[str, Any] | None:
    """Credit by agent, as in `tools.credit.by_agent`, kept in the round's folder.

    Measured at the model that the window was mined with. None where it is no bi-encoder, or where no label or
    no open gate row is there to compare.
    """
    before = state["previous"] if state.get("verdict") == "promoted" else state["champion"]
    model = resources.models.open(before)
    gate = resources.dataset.gate(state["round"] - 1)
    labels = labelled_pairs(resources, state["labels"], state["round"])
    told = None
    if isinstance(model, BiEncoder) and len(gate) and len(labels):
        told = by_agent(_credited_pairs(resources, state, model, gate, labels))
        write_json(_path(resources, state["round"]), plain(told))
    return told


def shares(resources: Resources, number: int) -> dict[str, float]:
    """The agents' shares of a round's budget: the config's, moved by the round before with `miner.credit`."""
    miner = resources.settings.miner
    given: dict[str, float] = {name: share for name, share in miner.agents.items() if share > 0}
    path = _path(resources, number - 1)
    if not miner.credit or not path.is_file():
        return given
    return credited(given, read_json(path))


def _path(resources: Resources, number: int) -> Path:
    return round_folder(resources, number) / "credit.json"


def _credited_pairs(
    resources: Resources,
    state: SupervisorState,
    model: BiEncoder,
    gate: pd.DataFrame,
    labels: pd.DataFrame,
) -> pd.DataFrame:
    """A row a pair of the sample: query_id, agent, labelled, credit."""
    training = resources.settings.training
    wanted = examples(one_hot(gate), soft=False)
    asked = examples(labels, soft=training.soft_targets)
    left, right, cosines = _vectors(model, wanted)
    step = wanted_step(left, right, loss_slopes(model.head, cosines, wanted, ordinal=0.0, order=1.0))
    left, right, cosines = _vectors(model, asked)
    slopes = loss_slopes(model.head, cosines, asked, ordinal=1.0, order=training.listwise)
    credit = labels[list(KEY)].assign(credit=credits(left, right, slopes, step))
    sample = resources.sample(state["sample"])[[*KEY, "agent"]]
    table = sample.merge(credit, on=list(KEY), how="left")
    return table.assign(labelled=table["credit"].notna(), credit=table["credit"].fillna(0.0))


def _vectors(model: BiEncoder, data: Examples) -> tuple[FloatArray, FloatArray, FloatArray]:
    left, right = model.embed_queries(data.queries), model.embed_documents(data.documents)
    return left, right, model.cosines(data.queries, data.documents)
