"""Level 1: stopping early never changes what the majority is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serm.agents.paths import conclude, hopeless, majority, mean_distribution, settled
from serm.core import Answer, Failure, FailureKind

votes = st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=1, max_size=15)


def answer(grade: int | None, kind: FailureKind = FailureKind.TIMEOUT) -> Answer:
    return Answer(grade=grade) if grade is not None else Answer(failure=Failure(kind))


@given(votes)
def test_stopping_early_gives_the_grade_that_asking_all_paths_gives(grades: list[int | None]) -> None:
    asked: list[int | None] = []
    for grade in grades:
        asked.append(grade)
        if settled(asked, len(grades) - len(asked)):
            break
    assert majority(asked) == majority(grades)
    assert conclude([answer(grade) for grade in asked])[0] == conclude([answer(grade) for grade in grades])[0]


@given(votes)
def test_the_majority_is_the_one_grade_that_no_other_equals(grades: list[int | None]) -> None:
    counts = {grade: grades.count(grade) for grade in grades if grade is not None}
    most = [grade for grade, count in counts.items() if count == max(counts.values())]
    assert majority(grades) == (most[0] if len(most) == 1 else None)


def test_three_alike_of_five_are_enough_and_two_are_not() -> None:
    assert settled([2, 2, 2], 2)
    assert not settled([2, 2], 3)
    assert not settled([2, 2, 1], 2)
    assert settled([2, 2, 1, 2], 1)


def test_failed_paths_are_no_votes() -> None:
    assert conclude([answer(None), answer(1), answer(None)]) == (1, None)


def test_where_all_paths_failed_the_commonest_failure_is_told() -> None:
    kinds = [FailureKind.SERVER, FailureKind.TIMEOUT, FailureKind.TIMEOUT]
    grade, failure = conclude([answer(None, kind) for kind in kinds])
    assert (grade, failure and failure.kind) == (None, FailureKind.TIMEOUT)


def test_a_tie_is_no_majority_and_says_how_the_paths_voted() -> None:
    grade, failure = conclude([answer(1), answer(2)])
    assert grade is None
    assert failure == Failure(FailureKind.NO_MAJORITY, "the paths said 1, 2")


def test_a_tie_that_a_failed_path_could_have_broken_is_its_failure_and_so_asked_again() -> None:
    grade, failure = conclude([answer(1), answer(2), answer(None)])
    assert (grade, failure) == (None, Failure(FailureKind.TIMEOUT, "the paths said 1, 2, failed: "))


def test_a_pair_is_given_up_where_its_paths_would_all_fail_alike() -> None:
    long, away, prose = (
        answer(None, kind) for kind in (FailureKind.TOO_LONG, FailureKind.TIMEOUT, FailureKind.UNPARSABLE)
    )
    assert not hopeless([])
    assert hopeless([long])
    assert not hopeless([away])
    assert hopeless([away, away])
    assert not hopeless([prose, prose, prose]), "another seed may be read"
    assert not hopeless([answer(2), long, long]), "it has answered once"


def test_the_distribution_is_the_mean_over_the_paths_that_answered() -> None:
    sure = Answer(grade=2, distribution=(0.0, 0.2, 0.8, 0.0))
    assert mean_distribution([sure]) == (0.0, 0.2, 0.8, 0.0)
    assert mean_distribution([answer(3)]) is None, "one vote is no distribution"
    assert mean_distribution([answer(3), answer(1), answer(None)]) == (0.0, 0.5, 0.0, 0.5)
    assert mean_distribution([answer(None)]) is None
