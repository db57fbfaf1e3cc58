"""The miner's desk over a window: scores, vectors and history, opened once for all agents."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from serm.core.columns import KEY
from serm.core.hashing import digest
from serm.core.records import PairKey
from serm.graphs.crediting import shares
from serm.graphs.desks import mining_desk
from serm.graphs.held_out import held_out
from serm.graphs.reference import earlier_queries
from serm.graphs.resources import Resources
from serm.graphs.state import MinerState
from serm.graphs.training import labels_path
from serm.storage.reading import read_frame
from serm.tools.desk import MiningDesk


def mining_key(resources: Resources, state: MinerState) -> str:
    """The name of all that a round mines: a hash of everything the choice depends on."""
    return digest([desk_key(resources, state), pairs_to_choose(resources, state)])


def desk_key(resources: Resources, state: MinerState) -> str:
    """Hash of everything that agents see, and of how they are set."""
    settings = resources.settings
    identity = settings.identity()  # without logins: a new password changes nothing that agents see
    return digest(
        [
            resources.window(state["round"]).id,
            state["champion"],
            state["earlier_labels"],
            # Whoever maps over the shards, the scores are the same.
            settings.miner.model_dump(mode="json", exclude={"executor"}),
            identity["agents"],
            settings.random_seed,
            held_out(resources, state["round"]).key,
            *(_other_models(state) if settings.miner.agents.get("committee") else ()),
            *([shares(resources, state["round"])] if settings.miner.credit else ()),
            *(identity["judges"] if settings.miner.relabel else ()),
        ]
    )


def pairs_to_choose(resources: Resources, state: MinerState) -> int:
    """What the supervisor wants of this round, else all that the budget gives it."""
    window = resources.window(state["round"])
    return state.get("pairs") or resources.settings.budget.pairs_of(window.pairs)


def open_desk(resources: Resources, state: MinerState) -> MiningDesk:
    """Everything the agents may look at. The same desk for all agents of a round."""
    return resources.once(("desk", desk_key(resources, state)), lambda: _make_desk(resources, state))


def _make_desk(resources: Resources, state: MinerState) -> MiningDesk:
    number, champion = state["round"], state["champion"]
    settings, apart = resources.settings, held_out(resources, number)
    return mining_desk(
        resources.coded_pairs(number),
        resources.models.open(champion),
        resources.scores(number, champion)[1],
        earlier_queries(resources, number, champion),
        others=[partial(resources.models.open, key) for key in _other_models(state)],
        labelled=_labelled(resources, state["earlier_labels"]),
        held_out=apart.words,
        settings=settings.miner.model_copy(update={"agents": shares(resources, number)}),
        seed=settings.random_seed + number,
    )


def _other_models(state: MinerState) -> list[str]:
    """The model before the current one and the base model, where they are others than the current one."""
    found = dict.fromkeys(state[key] for key in ("previous", "untrained") if key in state)
    return [name for name in found if name != state["champion"]]


def _labelled(resources: Resources, names: Sequence[str]) -> set[PairKey]:
    """Every pair that was ever sent to the panel, kept or not."""
    seen: set[PairKey] = set()
    for name in names:
        frame = read_frame(labels_path(resources, name), KEY)
        seen.update(PairKey(*row) for row in frame.itertuples(index=False, name=None))
    return seen
