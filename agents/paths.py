"""Level 1: several reasoning paths of one judge, their majority, and when to stop asking. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from serm.core.records import GRADES, Answer, Failure, FailureKind, GradeDistribution

_WHATEVER_THE_SEED: Final = frozenset({FailureKind.TOO_LONG, FailureKind.REFUSED})
_NO_ANSWER: Final = frozenset({FailureKind.TIMEOUT, FailureKind.SERVER, FailureKind.RATE_LIMITED})
_UNANSWERED: Final = 2  # paths without an answer, retries and all, after which none is asked; chosen


def settled(grades: Sequence[int | None], remaining: int, risk: float = 0.0) -> bool:
    """Whether `remaining` further paths cannot change the majority: the leader can be neither overtaken nor
    met, however they vote. None stands for a path that failed.

    With a `risk` above 0 it is enough that they change it with at most this probability (`change`).
    """
    if remaining <= 0:
        return True
    lead, second = _top(grades)
    if lead > second + remaining:
        return True
    return risk > 0 and lead > second and change(grades, remaining) <= risk


def change(grades: Sequence[int | None], remaining: int) -> float:
    """How likely it is that `remaining` further paths leave the leader without the majority, if each is drawn
    from the judge's own distribution over the grades, of which nothing is known but the paths so far: all
    distributions are held for equally likely before them. After Aggarwal et al. (arXiv 2305.11860), who stop
    sampling by the same posterior over the two commonest answers.
    """
    counts = Counter(grade for grade in grades if grade is not None)
    return _change(tuple(sorted((counts[grade] for grade in GRADES), reverse=True)), remaining)


def majority(grades: Sequence[int | None]) -> int | None:
    """The grade with most votes; None where none has (a tie, or no path answered)."""
    lead, second = _top(grades)
    if lead == second:
        return None
    return Counter(grade for grade in grades if grade is not None).most_common(1)[0][0]


def conclude(answers: Sequence[Answer]) -> tuple[int | None, Failure | None]:
    """The grade of a judgment, or why it has none: of the asked paths, in their order.

    Where a path that failed could have decided, its failure is the judgment's: asked again, it may.
    """
    grade = majority([answer.grade for answer in answers])
    if grade is not None:
        return grade, None
    failures = [answer.failure for answer in answers if answer.failure is not None]
    votes = ", ".join("failed" if answer.grade is None else str(answer.grade) for answer in answers)
    if not failures:
        return None, Failure(FailureKind.NO_MAJORITY, f"the paths said {votes}")
    most = Counter(failure.kind for failure in failures).most_common(1)[0][0]
    failure = next(failure for failure in failures if failure.kind == most)
    if len(failures) == len(answers):
        return None, failure
    return None, replace(failure, message=f"the paths said {votes}: {failure.message}")


def hopeless(answers: Sequence[Answer]) -> bool:
    """Whether further paths of a pair would fail as those before: none answered, and the first failed by what
    another seed does not change, or two by a server that does not answer."""
    kinds = [answer.failure.kind for answer in answers if answer.failure is not None]
    if not kinds or len(kinds) < len(answers):
        return False
    return kinds[0] in _WHATEVER_THE_SEED or sum(kind in _NO_ANSWER for kind in kinds) >= _UNANSWERED


def mean_distribution(answers: Sequence[Answer]) -> GradeDistribution | None:
    """Mean over the paths that answered, a path without a distribution counted as sure of its grade.

    None where there is one path and it gave none: a single vote is no distribution.
    """
    graded = [answer for answer in answers if answer.grade is not None]
    if not graded or (len(graded) == 1 and graded[0].distribution is None):
        return None
    rows = [
        answer.distribution or tuple(1.0 if grade == answer.grade else 0.0 for grade in GRADES)
        for answer in graded
    ]
    p0, p1, p2, p3 = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    return (p0, p1, p2, p3)


@lru_cache(maxsize=4_096)
def _change(counts: tuple[int, ...], remaining: int) -> float:
    """The mass, under the Dirichlet-multinomial of `counts`, of the further votes after which the first does
    not lead alone."""
    total, weight = sum(counts) + len(counts), 0.0
    ways = math.lgamma(remaining + 1) + math.lgamma(total) - math.lgamma(total + remaining)
    for further in _votes(remaining, len(counts)):
        final = [one + more for one, more in zip(counts, further, strict=True)]
        if final[0] <= max(final[1:]):
            terms = (
                math.lgamma(one + 1 + more) - math.lgamma(one + 1) - math.lgamma(more + 1)
                for one, more in zip(counts, further, strict=True)
            )
            weight += math.exp(ways + sum(terms))
    return weight


def _votes(number: int, grades: int) -> Iterator[tuple[int, ...]]:
    """Every way in which so many votes fall on so many grades."""
    if grades == 1:
        yield (number,)
        return
    for first in range(number + 1):
        yield from ((first, *rest) for rest in _votes(number - first, grades - 1))


def _top(grades: Sequence[int | None]) -> tuple[int, int]:
    counts = Counter(grade for grade in grades if grade is not None)
    first, second, *_ = [*(count for _, count in counts.most_common(2)), 0, 0]
    return first, second
