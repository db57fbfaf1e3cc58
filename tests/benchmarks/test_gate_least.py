from __future__ import annotations

import numpy as np

from serm.benchmarks.judging.gate_least import changes, row


def test_judges_follow_the_human_change_as_closely_as_is_said_and_are_right_where_nothing_moved() -> None:
    human, judged = changes(np.random.default_rng(1), 200_000, -1.0, 0.7)
    assert abs(np.corrcoef(human, judged)[0, 1] - 0.7) < 0.02
    assert not judged[human == 0].any()
    assert human.mean() < 0 < np.quantile(human, 0.9)


def test_a_bound_holds_less_often_where_the_rare_large_changes_are_falls() -> None:
    fall, gain = (float(row(name, 0.7, 20, 300)[3].rstrip("%")) for name in ("a few fall", "a few gain"))
    assert fall < 85
    assert gain > 90
