"""The drift report of one window, as the miner's drift agent sees it, and every other test beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from serm.core.errors import DataError
from serm.graphs.mining import open_desk
from serm.graphs.resources import Resources
from serm.graphs.state import MinerState
from serm.relevance_model.base import FloatArray
from serm.tools.desk import MiningDesk
from serm.tools.drift_report import Drift, RegionFacts, detect, region_facts
from serm.tools.drift_tests import TESTS
from serm.tools.query_sample import query_means


@dataclass(frozen=True)
class WindowDrift:
    """Drift of a window against what came before, and the queries that it was found in."""

    number: int  # of the window, from 1
    window: str
    model: str
    drift: Drift
    desk: MiningDesk

    @cached_property
    def uncertainty(self) -> FloatArray:
        """(n,): the mean entropy of each current query's pairs, nats."""
        return query_means(self.desk.entropy, self.desk.query_index, len(self.desk.current))

    @cached_property
    def facts(self) -> tuple[RegionFacts, ...]:
        """What a person reads of each region."""
        sides = self.desk.reference, self.desk.current
        return tuple(region_facts(region, *sides, self.uncertainty) for region in self.drift.regions)


def drift_of(resources: Resources, state: MinerState) -> WindowDrift:
    """Test a window's queries against earlier ones. Raises DataError where there are too few to compare."""
    number = state["round"]
    desk = open_desk(resources, state)
    name = resources.window(number).name
    settings = resources.settings.miner
    if min(desk.reference.counted.sum(), desk.current.counted.sum()) < 2:
        raise DataError(
            f"window {name} or what came before it has fewer than two queries: there is nothing to compare.",
            "Give a seed, or name a later window.",
        )
    found = detect(
        desk.reference,
        desk.current,
        level=settings.drift_level,
        seed=desk.seed,
        tests=settings.drift_tests,
        beside=tuple(TESTS),
    )
    return WindowDrift(number, name, state["champion"], found, desk)
