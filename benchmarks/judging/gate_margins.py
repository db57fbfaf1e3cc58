"""Which margin fits a gate of how many human-graded queries: a simulation, no data.

    python -m serm.benchmarks.judging.gate_margins [--mean 1] [--spread 2] [--deviation 10]

Challengers whose true change in NDCG@4 is drawn from a normal distribution meet the gate's two rules
(evals/gate.py), both means by the normal approximation. For each margin: how much of what a gate that knew
the truth would gain it does gain, how often it promotes a challenger that is better by a point or more, and
how often one that is worse by a point or more. `detectable` is a margin as wide as the smallest change that
so many queries show, so that an equal challenger passes the first rule four times out of five.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from scipy.stats import norm

from serm.core.settings_loop import GateSettings
from serm.evals.bootstrap import POWER
from serm.evals.tables import Cells, markdown

GATES: Final = ((20, 10), (30, 15), (60, 30), (100, 30), (300, 100), (1_000, 300))
"""Queries of the gate, and those of them that are of the newest window."""
MARGINS: Final = (0.0, 1.0, 2.0, 3.0)
LEVEL: Final = GateSettings().level
DETECTABLE: Final = "detectable"


@dataclass(frozen=True, slots=True)
class World:
    """What challengers are like, in points of NDCG@4."""

    mean: float = 1.0  # of their true change
    spread: float = 2.0  # the standard deviation of it
    deviation: float = 10.0  # the standard deviation of a query's change


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a gate does with them: shares of 1."""

    gained: float  # of what promoting every better one and no other gains
    better: float  # of those better by a point or more, the share that is promoted
    worse: float  # of those worse by a point or more, the share that is promoted


def outcome(
    world: World, queries: int, newest: int, margin: float | None, *, draws: int = 400_000, seed: int = 0
) -> Outcome:
    """Of `draws` challengers at a gate of `queries`, `newest` of them of the newest window. `margin` in
    points; None: as wide as the smallest change that the gate detects."""
    rng = np.random.default_rng(seed)
    true = rng.normal(world.mean, world.spread, draws)
    of_newest, of_others = (
        true + rng.normal(0, world.deviation / np.sqrt(count), draws) for count in (newest, queries - newest)
    )
    mean = (newest * of_newest + (queries - newest) * of_others) / queries
    error = world.deviation / np.sqrt(queries)
    allowed = margin if margin is not None else float(norm.ppf(LEVEL) + norm.ppf(POWER)) * error
    promoted = (mean - norm.ppf(LEVEL) * error > -allowed) & (of_newest > 0)
    return Outcome(
        gained=float((true * promoted).mean() / np.maximum(true, 0).mean()),
        better=float(promoted[true >= 1].mean()),
        worse=float(promoted[true <= -1].mean()),
    )


def table(world: World) -> Cells:
    """A row a gate, a column a margin: the three shares of each."""
    margins = (*MARGINS, None)
    headers = ("gate queries", "newest window", *(_name(margin) for margin in margins))
    rows = [
        (f"{queries:,}", f"{newest}", *(_told(outcome(world, queries, newest, margin)) for margin in margins))
        for queries, newest in GATES
    ]
    return Cells(headers, tuple(rows), frozenset(headers[2:]))


def _name(margin: float | None) -> str:
    return DETECTABLE if margin is None else f"margin {margin:g}"


def _told(found: Outcome) -> str:
    return f"{found.gained:.0%}, {found.better:.0%}, {found.worse:.0%}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, default in asdict(World()).items():
        parser.add_argument(f"--{name}", type=float, default=default)
    print(markdown(table(World(**vars(parser.parse_args(arguments))))), end="")


if __name__ == "__main__":
    main()
