"""What is learned of judges from human-graded pairs: on made panels, of which the truth is known."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serm.core.errors import ConfigError, DataError
from serm.core.records import GRADES
from serm.tools.reliability import LEAST, Reliability, Votes, learn

SHARES = (0.6, 0.15, 0.15, 0.1)


def pool(
    n: int, judges: Mapping[str, float | None], seed: int = 0, silent: float = 0.0
) -> tuple[Sequence[Votes], list[int]]:
    """n pairs. A judge is right about as often as it says, else mostly one off; None answers at random."""
    rng = np.random.default_rng(seed)
    grades = rng.choice(4, size=n, p=SHARES)
    columns = []
    for right in judges.values():
        near = np.clip(grades + rng.choice([-1, 1], n), 0, 3)
        said = np.where(rng.random(n) < (right or 0), grades, near)
        said = np.where(rng.random(n) < (1 if right is None else 0.9 - right), rng.integers(0, 4, n), said)
        columns.append(
            [None if quiet else int(grade) for grade, quiet in zip(said, rng.random(n) < silent, strict=True)]
        )
    return [list(zip(judges, row, strict=True)) for row in zip(*columns, strict=True)], grades.tolist()


def kappa(given: list[int | None], grades: list[int]) -> float:
    from sklearn.metrics import cohen_kappa_score

    assert None not in given
    return float(cohen_kappa_score(given, grades, labels=list(GRADES)))


def decided(rule: Reliability, votes: Sequence[Votes]) -> list[int | None]:
    return [rule.decide(item)[0] for item in votes]


def alone(votes: Sequence[Votes], judge: str) -> list[int | None]:
    return [dict(item)[judge] for item in votes]


WEAK = {"a": 0.5, "b": 0.45, "c": 0.45}


def test_weak_judges_together_are_better_than_the_best_of_them() -> None:
    rule = learn(*pool(300, WEAK), keep=1)
    votes, grades = pool(2_000, WEAK, seed=1)
    assert kappa(decided(rule, votes), grades) > kappa(alone(votes, "a"), grades) + 0.03


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("noise", ["random", "constant", "mixed", "copies"])
def test_beside_a_strong_judge_others_do_no_harm(noise: str, seed: int) -> None:
    """The issue's bound: never worse than the best single judge by more than 0.01 kappa."""
    known: dict[str, float | None] = {"strong": 0.75, **{f"r{n}": None for n in range(4)}}
    votes, grades = pool(2_300, known, seed=seed)
    noises: dict[str, Callable[[Votes], Votes]] = {
        "random": lambda pair: pair[1:],
        "constant": lambda _: [(f"k{n}", n) for n in GRADES],
        "mixed": lambda pair: [*pair[1:3], ("k", 2), ("never", None)],
        "copies": lambda pair: [(f"copy{n}", pair[1][1]) for n in range(4)],
    }
    panel = [[pair[0], *noises[noise](pair)] for pair in votes]
    rule = learn(panel[:300], grades[:300], keep=1, seed=seed)
    best = kappa(alone(votes[300:], "strong"), grades[300:])
    assert kappa(decided(rule, panel[300:]), grades[300:]) > best - 0.01
    assert rule.worth[rule.judges.index("strong")] == 1


def test_the_posterior_is_a_probability_that_holds() -> None:
    rule = learn(*pool(500, WEAK), keep=1)
    votes, grades = pool(2_500, WEAK, seed=3)
    posteriors = np.array([rule.posterior(item) for item in votes])
    assert posteriors.sum(axis=1) == pytest.approx(1)
    for grade in GRADES:
        order = np.argsort(posteriors[:, grade])
        for part in np.array_split(order, 4):
            told, found = posteriors[part, grade].mean(), (np.array(grades)[part] == grade).mean()
            assert told == pytest.approx(found, abs=0.12)


@pytest.mark.parametrize("keep", [0.25, 0.5, 0.75])
def test_about_the_share_to_keep_is_kept_of_every_grade_and_what_is_kept_is_righter(keep: float) -> None:
    panel = {**WEAK, "d": 0.6, "e": 0.55}
    calibration = pool(1_500, panel)
    everything, rule = learn(*calibration, keep=1), learn(*calibration, keep=keep)
    assert everything.thresholds == (0, 0, 0, 0)
    votes, grades = pool(3_000, panel, seed=5)
    chosen = np.array(decided(everything, votes))
    kept = np.array([grade is not None for grade in decided(rule, votes)])
    assert [item for item in decided(rule, votes) if item is not None] == list(chosen[kept])
    right = chosen == np.array(grades)
    for grade in GRADES:
        rows = chosen == grade
        assert kept[rows].mean() == pytest.approx(keep, abs=0.15)
    assert right[kept].mean() > right.mean() + 0.02
    least = {
        grade: min(
            rule.posterior(votes[row])[grade] for row in np.flatnonzero(kept & (chosen == grade)).tolist()
        )
        for grade in GRADES
    }
    for row in np.flatnonzero(~kept).tolist():  # the surest are kept
        assert rule.posterior(votes[row])[chosen[row]] < least[chosen[row]]


def test_the_same_pairs_in_any_order_with_any_order_of_judges_give_the_same_rule() -> None:
    votes, grades = pool(200, {**WEAK, "silent": 0.4}, silent=0.2)
    rule = learn(votes, grades, keep=0.7, seed=3)
    pairs = list(zip(votes, grades, strict=True))
    random.Random(1).shuffle(pairs)
    shuffled = [list(item)[::-1] for item, _ in pairs]
    assert learn(shuffled, [grade for _, grade in pairs], keep=0.7, seed=3) == rule
    assert Reliability.from_json(rule.to_json()) == rule


def test_more_graded_pairs_update_the_rule() -> None:
    votes, grades = pool(400, WEAK)
    first, second = learn(votes[:100], grades[:100], keep=1), learn(votes, grades, keep=1)
    assert (first.graded, second.graded) == (100, 400)
    assert first.weights != second.weights


def test_a_judge_that_is_silent_or_unknown_says_nothing() -> None:
    rule = learn(*pool(200, WEAK), keep=1)
    two: Votes = [("a", 3), ("b", 2)]
    assert rule.posterior([*two, ("c", None), ("stranger", 0)]) == rule.posterior(two)
    assert rule.posterior(two) != rule.posterior([*two, ("c", 0)])


def test_a_judge_that_was_not_asked_of_some_of_the_pairs_is_weighed_by_those_that_it_answered() -> None:
    votes, grades = pool(300, {"a": 0.5, "strong": 0.8})
    partly = [item if row % 2 else [item[0], ("strong", None)] for row, item in enumerate(votes)]
    rule = learn(partly, grades, keep=1)
    assert rule.worth[1] == 1
    assert 0.3 < rule.worth[0] < 0.9
    few = [item if row < 4 else [item[0], ("strong", None)] for row, item in enumerate(votes)]
    assert learn(few, grades, keep=1).worth == (1, 0)  # too little is known of it


def test_a_judge_that_answers_upside_down_is_understood() -> None:
    votes, grades = pool(300, {"a": 0.3, "b": 0.8})
    turned = [[item[0], ("b", 3 - (item[1][1] or 0))] for item in votes]
    rule = learn(turned, grades, keep=1)
    assert kappa(decided(rule, turned), grades) > 0.5


@pytest.mark.parametrize("there", [(0, 3), (0, 1, 2), (1, 3)])
def test_a_grade_that_no_calibration_pair_has_is_never_given(there: tuple[int, ...]) -> None:
    votes, grades = pool(600, WEAK)
    seen = [row for row, grade in enumerate(grades) if grade in there]
    rule = learn([votes[row] for row in seen], [grades[row] for row in seen], keep=0.9)
    for answers in product((None, *GRADES), repeat=3):
        grade, posterior = rule.decide(list(zip("abc", answers, strict=True)))
        assert grade is None or grade in there
        assert sum(posterior[item] for item in there) == pytest.approx(1)


def test_one_pair_of_a_grade_does_not_make_the_rule_look_for_it_everywhere() -> None:
    votes, grades = pool(300, WEAK)
    keep = [row for row, grade in enumerate(grades) if grade != 2]
    keep += [next(row for row, grade in enumerate(grades) if grade == 2)]
    rule = learn([votes[row] for row in keep], [grades[row] for row in keep], keep=1)
    assert decided(rule, votes).count(2) < 0.1 * len(votes)


@pytest.mark.parametrize(
    ("n", "change", "said"),
    [
        (LEAST - 1, {}, f"{LEAST - 1} human-graded pairs .* too few"),
        (100, {"grades": [1] * 100}, "all 100 human-graded pairs have the grade 1"),
        (100, {"grades": [4] * 100}, "4 is no grade"),
        (100, {"votes": [[("a", None)]] * 100}, "0 human-graded pairs that a judge answered"),
        (100, {"votes": [[("a", 7)]] * 100}, "vote is no grade"),
        (0, {}, "0 human-graded pairs"),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(n: int, change: dict[str, object], said: str) -> None:
    votes, grades = pool(n, WEAK)
    with pytest.raises(DataError, match=said):
        learn(**{"votes": votes, "grades": grades, "keep": 0.5, **change})  # type: ignore[arg-type]


def test_a_share_to_keep_that_is_none_and_a_broken_file_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"keep is 1\.5"):
        learn(*pool(100, WEAK), keep=1.5)
    for text in ("{}", "nothing", '{"judges": 3}', "[]"):
        with pytest.raises(DataError, match="no reliability rule"):
            Reliability.from_json(text)


RULE = learn(*pool(300, {**WEAK, "d": 0.6}), keep=0.6)
ANSWERS = st.one_of(st.none(), st.integers(0, 3))


@settings(max_examples=40, deadline=None)
@given(st.permutations("abcdx"), st.lists(ANSWERS, max_size=5), st.integers(0, 3))
def test_certain_is_what_going_through_all_answers_says(
    order: list[str], answers: list[int | None], further: int
) -> None:
    votes = list(zip(order, answers, strict=False))
    remaining = order[len(votes) : len(votes) + further]
    ends = {
        RULE.decide([*votes, *zip(remaining, more, strict=True)])[0]
        for more in product((None, *GRADES), repeat=len(remaining))
    }
    assert RULE.certain(votes, remaining) == (len(ends) == 1)


def test_certain_never_says_yes_where_there_is_too_much_to_go_through() -> None:
    many = {f"j{n}": 0.5 for n in range(8)}
    rule = learn(*pool(200, many), keep=1)
    sure = dataclasses.replace(rule, base=(40.0, 0.0, 0.0, 0.0))
    assert not sure.certain([("j0", 0)], [f"j{n}" for n in range(1, 8)])
    assert sure.certain([("j0", 0)], [f"j{n}" for n in range(2, 8)])
