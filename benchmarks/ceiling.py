"""How much of what true grades would have given each arm has: the price of judges that err."""

from __future__ import annotations

import numpy as np

from serm.benchmarks.arm_tables import arms_in_order
from serm.benchmarks.arms import FROZEN, Results
from serm.benchmarks.figures import NONE, SMALLEST, share, share_of, smallest
from serm.core.records import Interval
from serm.core.settings import Settings
from serm.evals.bootstrap import Floats
from serm.evals.tables import Cells, difference
from serm.llm.spec import parse_backend

LEAST_GAIN = 0.001  # NDCG: samples in which true grades give less say nothing of a share of it; chosen


def of_true_grades(results: Results) -> Cells:
    """Each arm's gain over its frozen after the last round, test by test, as a share of that of the first
    arm whose judges say the true grades; nothing where that is not surely above 0. Empty where no arm has
    such judges.
    """
    ceiling = next((arm for arm in arms_in_order(results) if _told_the_truth(results, arm)), None)
    if ceiling is None:
        return Cells((), ())
    others = [arm for arm in arms_in_order(results) if arm != ceiling]
    shares = [[_share(results, arm, ceiling, name) for name in results.sets] for arm in others]
    rows = [(results.named(ceiling), *(difference(results.gain(ceiling, name)) for name in results.sets))]
    rows += [(results.named(arm), *map(share, row)) for arm, row in zip(others, shares, strict=True)]
    rows.append((SMALLEST, *smallest(shares, share_of)))
    headers = ("arm", *results.sets)
    return Cells(headers, tuple(rows), frozenset(headers))


def _told_the_truth(results: Results, arm: str) -> bool:
    """Whether all judges that an arm states are simulated ones that never err."""
    change = results.protocol.arms[arm].change
    judges = Settings.model_validate({"judges": change.get("judges", ())}).judges
    specs = [parse_backend(judge.backend) for judge in judges]
    return bool(specs) and all(spec.kind == "simulated" and spec.params["accuracy"] == 1 for spec in specs)


def _share(results: Results, arm: str, ceiling: str, name: str) -> Interval:
    """Paired over queries and seeds; not known of arms that have other seeds."""
    if results.seeds_of(arm) != results.seeds_of(ceiling) or not results.gain(ceiling, name).low > 0:
        return NONE
    gain, whole = (results.of(of, name) - results.of(of, name, role=FROZEN) for of in (arm, ceiling))

    def part(one: Floats, all_of_it: Floats) -> Floats:
        return np.where(all_of_it > LEAST_GAIN, one / np.maximum(all_of_it, LEAST_GAIN), np.nan)

    return results.measured([[gain, whole]], part) if gain.shape == whole.shape else NONE
