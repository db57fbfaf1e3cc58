import numpy as np

from serm.tools.feedback import engaged, engaged_low

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
