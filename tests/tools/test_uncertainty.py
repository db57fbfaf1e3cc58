import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serm.tools.disagreement import disagreement
from serm.tools.uncertainty import MEASURES, entropy, margin

distributions = st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda p: sum(p) > 0.01)


@given(distributions)
def test_entropy_lies_between_nothing_and_the_log_of_four(weights: list[float]) -> None:
    p = np.array([weights], dtype=np.float32) / np.float32(sum(weights))
    assert 0.0 <= entropy(p)[0] <= math.log(4) + 1e-5


@given(distributions)
def test_margin_lies_between_certainty_and_a_tie(weights: list[float]) -> None:
    p = np.array([weights], dtype=np.float32) / np.float32(sum(weights))
    assert -1e-6 <= margin(p)[0] <= 1.0 + 1e-6


def test_a_flat_distribution_is_most_uncertain_and_a_certain_one_not_at_all() -> None:
    p = np.array([[0.25] * 4, [1, 0, 0, 0], [0.5, 0.5, 0, 0]], dtype=np.float32)
    assert entropy(p) == pytest.approx([math.log(4), 0.0, math.log(2)], abs=1e-6)
    assert margin(p) == pytest.approx([1.0, 0.0, 1.0])


def test_every_measure_takes_an_empty_window() -> None:
    for measure in MEASURES.values():
        assert measure(np.zeros((0, 4), dtype=np.float32)).shape == (0,)


def test_disagreement_is_the_widest_gap_between_two_passes() -> None:
    passes = np.array([[1.0, 2.0], [1.5, 2.0], [0.25, 2.0]], dtype=np.float32)
    assert disagreement(passes) == pytest.approx([1.25, 0.0])


def test_one_pass_cannot_disagree() -> None:
    with pytest.raises(ValueError, match="at least two passes"):
        disagreement(np.ones((1, 3), dtype=np.float32))
