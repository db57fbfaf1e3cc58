from dataclasses import replace

import numpy as np
import pandas as pd
from mining_desks import make_desk

from serm.tools.feedback import engaged, engaged_low
from serm.tools.feedback_tools import _fitted

NAN = float("nan")


def test_a_click_counts_with_a_long_visit_or_where_no_visit_is_logged() -> None:
    clicks = np.array([3.0, 3.0, 3.0, 0.0, NAN])
    dwell = np.array([31.0, 29.0, NAN, 90.0, 90.0])
    assert engaged(clicks, dwell, 30.0).tolist() == [True, False, True, False, False]


def test_only_low_scored_pairs_are_listed_and_the_clearest_contradiction_comes_first() -> None:
    clicks = np.array([1.0, 50.0, 1.0, 9.0])
    dwell = np.full(4, 60.0)
    expected = np.array([0.1, 0.1, 0.9, 2.0], dtype=np.float32)
    rows, scores = engaged_low(clicks, dwell, expected, dwell_engaged=30.0, low_score=1.0)
    assert rows.tolist() == [1, 0, 2]
    assert (np.diff(scores) <= 0).all()


def test_a_log_that_counts_positions_from_0_has_the_same_click_model_as_from_1() -> None:
    desk = make_desk()
    rng = np.random.default_rng(0)
    shown = pd.Series(rng.integers(5, 40, len(desk.window)), index=desk.window.index)
    columns = {"impressions": shown, "clicks": rng.binomial(shown, 0.3)}
    position = rng.integers(1, 6, len(desk.window))
    one, other = (
        _fitted(
            replace(desk, window=desk.window.assign(**columns, position=position - less)).view(
                "click_model", 5
            )
        )
        for less in (0, 1)
    )
    assert one is not None
    assert other is not None
    assert len(other.rows) == len(desk.window)
    np.testing.assert_array_equal(one.position, other.position)
