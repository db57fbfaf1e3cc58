"""Level 2: the panel's vote across judges. Pure; to add a rule, add one function and one line in RULES."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from serm.core.errors import ConfigError
from serm.core.records import GRADES, GradeDistribution, Judgment, Label, Outcome, PairKey


def unanimous(votes: Sequence[int]) -> int | None:
    """The grade that all who answered gave (SERM's rule, as summarised)."""
    return votes[0] if len(set(votes)) == 1 else None


def majority(votes: Sequence[int]) -> int | None:
    """The grade that more than half of those who answered gave."""
    grade, count = Counter(votes).most_common(1)[0]
    return grade if 2 * count > len(votes) else None


RULES: Final[Mapping[str, Callable[[Sequence[int]], int | None]]] = {
    Outcome.UNANIMOUS.value: unanimous,
    Outcome.MAJORITY.value: majority,
}
"""Each takes one pair's votes (at least one, failures left out) and gives its grade, or None: dropped.
The name is that of the outcome of a pair that it keeps. The strictest stands first."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the panel says of one pair."""

    grade: int | None
    outcome: Outcome
    distribution: GradeDistribution | None  # shares of the votes; None where nobody answered


def decide(votes: Sequence[int | None], rule: str, min_judges: int) -> Verdict:
    """One pair's votes, an entry a judge that was asked (None: it failed), to the panel's verdict.

    Under `min_judges` answers the pair is failed, not dropped. A panel that asks fewer judges of a pair than
    `min_judges` needs them all: a panel of one judge is that judge's word.
    """
    answered = [vote for vote in votes if vote is not None]
    shares = _shares(answered)
    if len(answered) < max(1, min(min_judges, len(votes))):
        return Verdict(None, Outcome.FAILED, shares)
    grade = _rule(rule)(answered)
    return Verdict(grade, Outcome.DROPPED if grade is None else Outcome(rule), shares)


def peer_vote(judgments: Iterable[Judgment], rule: str, min_judges: int) -> list[Label]:
    """One label a pair, dropped and failed ones too, in the order in which the pairs first appear.

    `judgments` holds one for each judge that was asked of a pair, failures included. Raises ConfigError for
    a rule that there is not.
    """
    _rule(rule)
    pairs: dict[PairKey, list[Judgment]] = {}
    for judgment in judgments:
        pairs.setdefault(judgment.key, []).append(judgment)
    return [_label(key, said, rule, min_judges) for key, said in pairs.items()]


def _label(key: PairKey, said: Sequence[Judgment], rule: str, min_judges: int) -> Label:
    verdict = decide([judgment.grade for judgment in said], rule, min_judges)
    return Label(
        query_id=key.query_id,
        doc_id=key.doc_id,
        grade=verdict.grade,
        distribution=verdict.distribution,
        outcome=verdict.outcome,
        votes=tuple((judgment.judge, judgment.grade) for judgment in said),
        rationale=next((j.rationale for j in said if j.rationale and j.grade == verdict.grade), ""),
        calls=sum(len(judgment.paths) for judgment in said),
        tokens=sum(judgment.tokens_in + judgment.tokens_out for judgment in said),
        cost=sum(judgment.cost for judgment in said),
    )


def _rule(name: str) -> Callable[[Sequence[int]], int | None]:
    try:
        return RULES[name]
    except KeyError:
        raise ConfigError(
            f"there is no agreement rule `{name}`.", f"The rules are {', '.join(RULES)}."
        ) from None


def _shares(votes: Sequence[int]) -> GradeDistribution | None:
    if not votes:
        return None
    p0, p1, p2, p3 = (votes.count(grade) / len(votes) for grade in GRADES)
    return (p0, p1, p2, p3)
