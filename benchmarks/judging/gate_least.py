"""From how many human-graded queries on a panel may count at the gate: a simulation, no data.

    python -m serm.benchmarks.judging.gate_least

Changes in NDCG between two models as the gate meets them: half of the queries do not move, of the rest most
move little and a few much, and those few gain, fall, or both. The panel's change is right where nothing moved
and follows the human one with a stated correlation elsewhere. Of many draws: how often the one-sided lower
bound of the mean holds, with the panel and by the human grades alone. Where the panel has fewer human grades
to be corrected by than it takes, the first is below the second; `gate.judged_least` is to be above that.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serm.evals.prediction_powered import prediction_powered
from serm.evals.tables import Cells, markdown

LEVEL: Final = 0.90
HUMAN: Final = (10, 15, 20, 30, 40, 60, 100)
JUDGED: Final = 300  # queries that the panel alone has graded
CORRELATIONS: Final = (0.4, 0.7)  # what recorded judges reach (docs/benchmarks.md), between the two
TAILS: Final = {"a few fall": -1.0, "both": 0.0, "a few gain": 1.0}
_WIDTH: Final = 0.6  # of the logarithm of a change's size
_SIZE: Final = 0.05  # the median change of a query that moves


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--draws", type=int, default=4_000)
    chosen = parser.parse_args(arguments)
    cells = [
        row(tail, correlation, count, chosen.draws)
        for tail in TAILS
        for correlation in CORRELATIONS
        for count in HUMAN
    ]
    headers = ("large changes", "correlation", "human-graded", "lower bound holds (90%)", "human alone")
    print(markdown(Cells(headers, tuple(cells), frozenset({"large changes"}))), end="")


def changes(
    rng: np.random.Generator, size: int, lean: float, correlation: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Changes by human grades and by the panel's, (size,) each. `lean` -1: all that move much fall; 1: gain;
    small changes go both ways alike."""
    moved = rng.random(size) < 0.5
    much = rng.random(size) < 0.1
    sign = np.where(rng.random(size) < 0.5, -1.0, 1.0)
    if lean:
        sign = np.where(much, lean, sign)
    extent = _SIZE * np.exp(rng.normal(0, _WIDTH, size)) * np.where(much, 6.0, 1.0)
    human = np.where(moved, sign * extent, 0.0)
    spread = float(np.sqrt(np.mean(np.square(human))))
    noise = rng.normal(0, spread * np.sqrt(1 / correlation**2 - 1) / np.sqrt(0.5), size)
    return human, np.where(moved, human + noise, 0.0)


def row(tail: str, correlation: float, count: int, draws: int) -> tuple[str, ...]:
    """A line of the table: `draws` times `count` human-graded queries and JUDGED others."""
    lean = TAILS[tail]
    rng = np.random.default_rng(7)
    truth = float(np.mean(changes(rng, 2_000_000, lean, correlation)[0]))
    held = alone = 0
    for _ in range(draws):
        human, judged = changes(rng, count + JUDGED, lean, correlation)
        found = prediction_powered(human[:count], judged[:count], judged[count:], LEVEL, one_sided=True)
        held += found.interval.low <= truth
        alone += found.human.low <= truth
    return (tail, f"{correlation}", str(count), f"{held / draws:.1%}", f"{alone / draws:.1%}")


if __name__ == "__main__":
    main()
