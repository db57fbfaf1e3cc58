"""The miner's desk over a window: scores, vectors and history, opened once for all agents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from serm.core.columns import KEY, document_text
from serm.core.hashing import digest
from serm.core.records import PairKey
from serm.graphs.crediting import shares
from serm.graphs.reference import earlier_queries
from serm.graphs.resources import Resources
from serm.graphs.state import MinerState
from serm.graphs.training import labels_path
from serm.relevance_model.base import FloatArray
from serm.tools.desk import Ints, MiningDesk
from serm.tools.language import with_languages


def mining_key(resources: Resources, state: MinerState) -> str:
    """The name of all that a round mines: a hash of everything the choice depends on."""
    settings = resources.settings
    return digest(
        [
            resources.window(state["round"]).id,
            state["champion"],
            state["earlier_labels"],
            settings.miner.model_dump(mode="json"),
            settings.agents.model_dump(mode="json"),
            pairs_to_choose(resources, state),
            settings.random_seed,
            *(_other_models(state) if settings.miner.agents.get("committee") else ()),
            *([shares(resources, state["round"])] if settings.miner.credit else ()),
            *([judge.model_dump(mode="json") for judge in settings.judges] if settings.miner.relabel else ()),
        ]
    )


def pairs_to_choose(resources: Resources, state: MinerState) -> int:
    """All that the budget gives the round."""
    return resources.settings.budget.pairs_of(resources.window(state["round"]).pairs)


def open_desk(resources: Resources, state: MinerState) -> MiningDesk:
    """Everything the agents may look at. The same desk for all agents of a round."""
    return resources.once(("desk", mining_key(resources, state)), lambda: _make_desk(resources, state))


def _make_desk(resources: Resources, state: MinerState) -> MiningDesk:
    number = state["round"]
    settings = resources.settings
    model = resources.models.open(state["champion"])
    others = _other_models(state)
    pairs = resources.pairs(number)
    window = with_languages(pairs)  # for the agents; models know languages as the log names them
    queries, query_index = _distinct(pairs["query"].tolist())
    documents, document_index = _distinct(document_text(pairs["title"], pairs["text"]))

    def texts(rows: Ints) -> tuple[list[str], list[str]]:
        return (
            [queries[index] for index in query_index[rows]],
            [documents[index] for index in document_index[rows]],
        )

    def stochastic(rows: Ints) -> FloatArray:
        return model.stochastic(
            *texts(rows),
            passes=settings.miner.passes,
            seed=settings.random_seed + number,
            languages=pairs["language"].iloc[rows].tolist(),
        )

    def committee(rows: Ints) -> FloatArray:
        languages = pairs["language"].iloc[rows].tolist()
        members = [model, *(resources.models.open(key) for key in others)]
        return np.stack([member.score(*texts(rows), languages).expected for member in members])

    return MiningDesk(
        window=window,
        scores=resources.scores(number, state["champion"])[1],
        query_embeddings=model.embed_queries(queries),
        query_index=query_index,
        document_embeddings=model.embed_documents(documents),
        document_index=document_index,
        reference=earlier_queries(resources, number, state["champion"]),
        stochastic=stochastic,
        committee=committee if others else None,
        labelled=frozenset(_labelled(resources, state["earlier_labels"])),
        settings=settings.miner.model_copy(update={"agents": shares(resources, number)}),
        seed=settings.random_seed + number,
    )


def _distinct(texts: Sequence[str]) -> tuple[list[str], Ints]:
    """Distinct texts in order of appearance, and for each text the number of its distinct one."""
    codes, values = pd.factorize(np.asarray(texts, dtype=object))
    return [str(value) for value in values], codes.astype(np.int64)


def _other_models(state: MinerState) -> list[str]:
    """The model before the current one and the base model, where they are others than the current one."""
    found = dict.fromkeys(state[key] for key in ("previous", "untrained") if key in state)
    return [name for name in found if name != state["champion"]]


def _labelled(resources: Resources, names: Sequence[str]) -> set[PairKey]:
    """Every pair that was ever sent to the panel, kept or not."""
    seen: set[PairKey] = set()
    for name in names:
        frame = pd.read_parquet(labels_path(resources, name), columns=list(KEY))
        seen.update(PairKey(*row) for row in frame.itertuples(index=False, name=None))
    return seen
