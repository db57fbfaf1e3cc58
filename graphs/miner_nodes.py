"""The nodes of the miner graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from serm.agents.miners import mine_with
from serm.agents.planner import NAME
from serm.agents.policy import decider
from serm.graphs.fallen import mark
from serm.graphs.mining import open_desk, pairs_to_choose
from serm.graphs.planning import mined_name, plan_round, planned_shares
from serm.graphs.relabelling import asked_again
from serm.graphs.resources import Resources
from serm.graphs.state import MinerState
from serm.graphs.tracing import Node
from serm.storage.artifacts import find_or_create
from serm.storage.reading import read_frame
from serm.tools.quotas import nomination_quotas
from serm.tools.selection import select

_NOMINATIONS = "nominations.parquet"
_SAMPLE = "sample.parquet"


class MinerNodes:
    def __init__(self, resources: Resources) -> None:
        self._ = resources
        miner = resources.settings.miner
        agents = tuple(name for name, share in miner.agents.items() if share > 0)
        self.agents = agents if miner.choice == "mined" else ()
        self.planned = bool(self.agents) and decider(resources.settings, NAME) is not None

    def score(self, state: MinerState) -> dict[str, Any]:
        scores = self._.scores(state["round"], state["champion"])[0]
        return {"scores": scores, "name": mined_name(self._, state)}

    def plan(self, state: MinerState) -> dict[str, Any]:
        """Have a chat model share the budget out among the agents."""
        return {"plan": plan_round(self._, state)}

    def nominate(self, agent: str) -> Node:
        """The node of one agent: its turn at the desk, kept under its name."""

        def run(state: MinerState) -> dict[str, Any]:
            key = f"{mined_name(self._, state)}-{agent}"

            def make(folder: Path) -> None:
                given = planned_shares(self._, state)
                table = mine_with(
                    agent,
                    open_desk(self._, state),
                    decider(self._.settings, agent, self._.purse) if given[agent] else None,
                    nomination_quotas(pairs_to_choose(self._, state), given)[agent],
                    max_steps=self._.settings.agents.max_steps,
                    told=lambda outcome: mark(folder, agent, state, outcome.reason),
                )
                table.to_parquet(folder / _NOMINATIONS, index=False)

            find_or_create(self._.workspace.samples, key, make)
            return {"nominated": {agent: key}}

        run.__name__ = agent
        return run

    def select(self, state: MinerState) -> dict[str, Any]:
        """Choose under the budget among all nominations; the sample says who chose each pair and why."""
        key = mined_name(self._, state)

        def make(folder: Path) -> None:
            tables = [
                read_frame(self._.workspace.samples / name / _NOMINATIONS)
                for _, name in sorted(state.get("nominated", {}).items())
            ]
            desk, budget = open_desk(self._, state), pairs_to_choose(self._, state)
            nominations = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
            again = asked_again(self._, state, desk, budget)
            sample = select(nominations, desk, budget - len(again), planned_shares(self._, state))
            if len(again):
                sample = pd.concat([sample.assign(again=0), again], ignore_index=True)
            sample.to_parquet(folder / _SAMPLE, index=False)

        find_or_create(self._.workspace.samples, key, make)
        return {"sample": key}
