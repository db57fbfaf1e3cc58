from __future__ import annotations

import math

from serm.core.records import Interval
from serm.evals.tables import Cells, difference, markdown, points, verdict


def test_a_table_keeps_its_columns_whatever_stands_in_them() -> None:
    text = markdown(
        Cells(("window", "mined"), (("2020 | web", "600"), ("a\nb", "1,600")), frozenset({"window"}))
    )
    assert text.splitlines() == [
        "| window | mined |",
        "| --- | ---: |",
        "| 2020 \\| web | 600 |",
        "| a b | 1,600 |",
    ]


def test_what_was_not_measured_is_a_dash() -> None:
    assert points(None) == points(math.nan) == "–"
    assert difference(Interval(math.nan, math.nan, math.nan)) == "–"


def test_a_change_whose_interval_holds_zero_is_within_noise() -> None:
    assert difference(Interval(0.01, -0.01, 0.03, 50)) == "+1.0 [-1.0, +3.0] within noise"
    assert difference(Interval(0.04, 0.01, 0.07, 50)) == "+4.0 [+1.0, +7.0] better"


def test_a_fall_of_an_error_is_better() -> None:
    assert difference(Interval(-0.02, -0.03, -0.01)).endswith("worse")
    assert difference(Interval(-0.02, -0.03, -0.01), lower_is_better=True).endswith("better")
    assert "too few queries" in difference(Interval(0.5, math.nan, math.nan, 1))


def test_a_model_against_itself_is_the_same_and_no_noise() -> None:
    assert difference(Interval(0.0, 0.0, 0.0, 50)) == "0.0 the same"
    assert difference(Interval(0.0, -1e-9, 1e-9, 50)).endswith("within noise")


def test_a_bound_that_is_not_zero_does_not_read_so() -> None:
    assert difference(Interval(0.0022, 0.0004, 0.004, 50)) == "+0.22 [+0.04, +0.40] better"
    assert difference(Interval(-0.0022, -0.004, -0.0004, 50)) == "-0.22 [-0.40, -0.04] worse"
    assert difference(Interval(0.0022, 0.00003, 0.004, 50)) == "+0.220 [+0.003, +0.400] better"
    assert difference(Interval(0.001, -0.0001, 0.002, 50)) == "+0.1 [-0.0, +0.2] within noise"


def test_a_cell_tells_its_verdict_whatever_stands_behind_it() -> None:
    better = difference(Interval(0.04, 0.01, 0.07, 50))
    assert verdict(better) == verdict(f"{better} (120)") == "better"
    assert verdict(difference(Interval(-0.04, -0.07, -0.01, 50))) == "worse"
    assert verdict(difference(Interval(0.01, -0.01, 0.03, 50))) == "within noise"
    assert (
        verdict("better encoder, no labels") == verdict("57.8 [55.1, 60.2]") == verdict("0.0 the same") == ""
    )
