"""Whether and where the queries drifted: the report that agents, commands and charts read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serm.core.settings_miner import DriftTestName
from serm.relevance_model.base import FloatArray
from serm.tools.corrections import holm
from serm.tools.drift_regions import Region, drifted_regions
from serm.tools.drift_tests import TESTS, Shift
from serm.tools.query_sample import QuerySample

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Drift:
    """`p_value` is that of `shifts` and regions together."""

    p_value: float
    level: float
    shifts: tuple[Shift, ...]
    regions: tuple[Region, ...]
    beside: tuple[Shift, ...] = ()  # further tests, each by itself; they decide nothing

    @property
    def drifted(self) -> bool:
        return self.p_value <= self.level


def detect(
    reference: QuerySample,
    current: QuerySample,
    *,
    level: float,
    seed: int,
    tests: Sequence[DriftTestName] = ("mmd",),
    beside: Sequence[DriftTestName] = (),
) -> Drift:
    """Whether and where queries drifted, with at most `level` chance of an alarm where they did not.

    Half the level is for `tests` of all queries (corrected by Holm where there are several), half for
    regions; tests `beside` them are told and decide nothing. Both sides are the queries that count
    (`QuerySample.counted`). Raises ValueError where one has fewer than two.
    """
    before, now = reference.compared, current.compared
    if min(len(before), len(now)) < 2:
        raise ValueError("a drift test needs at least two queries on either side")
    share = level / 2 if tests else level
    each = share / max(len(tests), 1)
    shifts, others = (
        tuple(TESTS[name](before, now, seed, each) for name in names)
        for names in (tests, [name for name in beside if name not in tests])
    )
    regions = tuple(drifted_regions(reference, current, level=share, seed=seed))
    least = min([1.0, *holm(np.array([shift.p_value for shift in shifts])), *(r.p_value for r in regions)])
    return Drift(float(min(1.0, least * level / share)), level, shifts, regions, others)


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """What a person reads of a region."""

    name: str  # its most typical query, or its language where that is what its queries share
    examples: tuple[str, ...]  # current queries, or earlier ones where it is dying; the most typical first
    languages: tuple[tuple[str, float], ...]  # and their shares, the most frequent first
    uncertainty: float | None  # mean entropy of the model over its current queries, nats; None where unknown


def region_facts(
    region: Region, reference: QuerySample, current: QuerySample, uncertainty: FloatArray | None = None
) -> RegionFacts:
    """`uncertainty` (n,): the mean entropy of each current query's pairs."""
    dying = region.kind == "dying"
    sample, rows = (reference, region.before) if dying else (current, region.members)
    names = [sample.names[row] for row in rows] if len(sample.names) else []
    examples = tuple(dict.fromkeys(names))[:EXAMPLES]
    counts = Counter(sample.languages[row] for row in rows) if len(sample.languages) else Counter[str]()
    typical = examples[0] if examples else f"{len(rows)} queries"
    mean = (
        float(uncertainty[region.members].mean()) if uncertainty is not None and len(region.members) else None
    )
    return RegionFacts(
        name=f"language {region.name or '?'}" if region.basis == "language" else typical,
        examples=examples,
        languages=tuple((name, count / len(rows)) for name, count in counts.most_common(3)),
        uncertainty=mean,
    )
