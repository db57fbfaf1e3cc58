"""The reliability rule on recorded judges: the issue's bounds, on the years that it was tuned on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from serm.benchmarks.judging import agreement
from serm.benchmarks.judging.over_draws import OverDraws
from serm.benchmarks.judging.recorded import (
    Recorded,
    counted,
    decided,
    filled,
    labels,
    learned,
    read_years,
)
from serm.core.records import PairKey
from serm.tools.peer_vote import unanimous

DRAWS = 3


@pytest.fixture(scope="module")
def years(shared_data: Callable[[str], Path]) -> agreement.Years:
    return read_years(shared_data("trec-dl"))


def kappa(before: Recorded, data: Recorded, judges: Sequence[str]) -> float:
    given = [decided(learned(before, judges, 300, draw), data, judges)[0] for draw in range(DRAWS)]
    return OverDraws.of(data, given).mean("kappa")


def test_three_weak_judges_and_300_human_grades_are_about_as_good_as_gpt_4o(years: agreement.Years) -> None:
    before, data = years[2019][0], years[2020][0]
    best_weak = max(OverDraws.of(data, [data.votes[name]]).mean("kappa") for name in agreement.WEAK)
    assert best_weak == pytest.approx(0.188, abs=0.001)
    assert kappa(before, data, agreement.WEAK) > 0.32


FOUR_AND_FOUR = (*agreement.RANDOM, *agreement.SAME)


@pytest.mark.parametrize(
    ("strong", "added"),
    [
        ((agreement.BEST,), agreement.RANDOM),
        ((agreement.BEST,), agreement.SAME),
        ((agreement.BEST,), (*agreement.WEAK, *FOUR_AND_FOUR)),
        (agreement.STRONG, FOUR_AND_FOUR),
    ],
)
def test_with_a_strong_judge_it_is_never_worse_than_it_by_more_than_a_hundredth(
    years: agreement.Years, strong: tuple[str, ...], added: tuple[str, ...]
) -> None:
    before, data = (agreement.with_noise(years[year][0], seed=year) for year in (2019, 2020))
    best = OverDraws.of(data, [data.votes[agreement.BEST]]).mean("kappa")
    assert kappa(before, data, (*strong, *added)) > best - 0.01


def test_at_unanimity_s_number_of_each_grade_its_labels_are_righter(years: agreement.Years) -> None:
    before, data = years[2019][0], years[2020][0]
    agreed = counted(unanimous, data, agreement.WEAK)
    numbers = [int((agreed == grade).sum()) for grade in range(4)]
    posteriors = decided(learned(before, agreement.WEAK, 300, 0), data, agreement.WEAK)[1]
    given = filled(posteriors, numbers)
    assert [int((given == grade).sum()) for grade in range(4)] == numbers
    ours, theirs = OverDraws.of(data, [given]), OverDraws.of(data, [agreed])
    assert ours.mean("balanced_accuracy") > theirs.mean("balanced_accuracy") + 0.03


def made(n: int = 400) -> Recorded:
    rng = np.random.default_rng(0)
    human = rng.integers(0, 4, n)
    good = np.where(rng.random(n) < 0.8, human, rng.integers(0, 4, n))
    keys = [PairKey(f"q{row // 10}", f"d{row}") for row in range(n)]
    return Recorded(keys, human, np.arange(n) // 10, {"good": good, "silent": np.where(human > 1, -1, good)})


def test_the_benchmark_s_figures_come_from_the_rule_that_users_call() -> None:
    data = made()
    rule = learned(data, ("good", "silent"), 100, draw=0, keep=0.6)
    grades, posteriors = decided(rule, data, ("good", "silent"))
    written = labels(rule, data, ("good", "silent"))
    for row in range(0, 400, 37):
        votes = [(name, int(of[row]) if of[row] >= 0 else None) for name, of in data.votes.items()]
        grade, posterior = rule.decide(votes)
        assert (grades[row], tuple(posteriors[row])) == (-1 if grade is None else grade, posterior)
        assert (written[row].key, written[row].grade) == (data.keys[row], grade)
    assert [len(data.only(data.human == grade)) for grade in range(4)] == np.bincount(data.human).tolist()


def test_an_interval_over_draws_and_queries_holds_no_difference_between_a_rule_and_itself() -> None:
    data = made()
    rng = np.random.default_rng(1)
    worse = [np.where(rng.random(400) < 0.5, data.human, 0) for _ in range(3)]
    better = OverDraws.of(data, [data.votes["good"]])
    assert better.against(better, "kappa") == "+0.000 [+0.000, +0.000]"
    told = OverDraws.of(data, worse).against(better, "kappa")
    assert "-" in told.split("[")[1].split(",")[1]  # surely worse
    assert better.told("accuracy").count("±") == 0
    assert OverDraws.of(data, worse).told("accuracy").count("±") == 1
