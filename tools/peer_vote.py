"""Level 2: the panel's vote across judges. Pure; to add a rule, add one function and one line in RULES."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from serm.core.errors import ConfigError
from serm.core.records import GRADES, GradeDistribution, Judgment, Label, Outcome, PairKey
from serm.tools.reliability import Reliability, Votes


def unanimous(votes: Sequence[int]) -> int | None:
    """The grade that all who answered gave (SERM's rule, as summarised)."""
    return votes[0] if len(set(votes)) == 1 else None


def majority(votes: Sequence[int]) -> int | None:
    """The grade that more than half of those who answered gave."""
    grade, count = Counter(votes).most_common(1)[0]
    return grade if 2 * count > len(votes) else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the panel says of one pair."""

    grade: int | None
    outcome: Outcome
    distribution: GradeDistribution | None  # shares of the votes, or the posterior; None: nobody answered


Ruling = tuple[int | None, GradeDistribution]
Rule = Callable[[Votes, Reliability | None], Ruling]


def _counted(rule: Callable[[Sequence[int]], int | None]) -> Rule:
    """A rule that looks at the grades alone, whoever gave them."""

    def ruling(votes: Votes, _: Reliability | None) -> Ruling:
        grades = [vote for _, vote in votes if vote is not None]
        return rule(grades), _shares(grades)

    return ruling


def _weighed(votes: Votes, reliability: Reliability | None) -> Ruling:
    """The likeliest grade under the posterior, where that is past the grade's threshold."""
    return learned(reliability).decide(votes)


RULES: Final[Mapping[str, Rule]] = {
    Outcome.UNANIMOUS.value: _counted(unanimous),
    Outcome.RELIABILITY.value: _weighed,
    Outcome.MAJORITY.value: _counted(majority),
}
"""Each takes one pair's votes (at least one, failures left out) and what was learned of the judges, and gives
the pair's grade, or None: dropped, and its distribution. The name is that of the outcome of a pair that it
keeps. The strictest stands first. `reliability` stands between: it may keep what is not unanimous, but only
on the word of judges that proved right; a majority is a majority of whoever sits there."""


def usable(reliability: Reliability | None) -> tuple[str, ...]:
    """Names of the rules that can be used, the strictest first: `reliability` only where it was learned."""
    return tuple(name for name in RULES if reliability is not None or name != Outcome.RELIABILITY.value)


def decide(votes: Votes, rule: str, min_judges: int, reliability: Reliability | None = None) -> Verdict:
    """One pair's votes, an entry a judge that was asked (None: it failed), to the panel's verdict.

    Under `min_judges` answers the pair is failed, not dropped. A panel that asks fewer judges of a pair than
    `min_judges` needs them all: a panel of one judge is that judge's word. `reliability` is what the rule of
    that name needs; answers of judges that it does not know do not count there. Raises ConfigError for a
    rule that there is not, and for `reliability` where nothing was learned.
    """
    ruling = _rule(rule)
    answered = _heard(votes, rule, reliability)
    if not answered:
        return Verdict(None, Outcome.FAILED, None)
    grade, distribution = ruling(answered, reliability)
    if len(answered) < _least(min_judges, len(votes)):
        return Verdict(None, Outcome.FAILED, distribution)
    return Verdict(grade, Outcome.DROPPED if grade is None else Outcome(rule), distribution)


def peer_vote(
    judgments: Iterable[Judgment], rule: str, min_judges: int, reliability: Reliability | None = None
) -> list[Label]:
    """One label a pair, dropped and failed ones too, in the order in which the pairs first appear.

    `judgments` holds one for each judge that was asked of a pair, failures included. The label's distribution
    is the shares of the votes, under `reliability` the posterior. Raises ConfigError as `decide` does.

    The chair calls it as a tool of that name; a script calls it as it stands:

        judgments = [judgment for judgment in ...]      # serm.core.Judgment, of any source
        labels = peer_vote(judgments, "unanimous", min_judges=2)
        kept = [label for label in labels if label.outcome.kept]

        worth = learn(votes, human_grades, keep=0.75)  # serm.tools.reliability, a few hundred graded pairs
        labels = peer_vote(judgments, "reliability", min_judges=2, reliability=worth)
    """
    _rule(rule)
    pairs: dict[PairKey, list[Judgment]] = {}
    for judgment in judgments:
        pairs.setdefault(judgment.key, []).append(judgment)
    return [_label(key, said, rule, min_judges, reliability) for key, said in pairs.items()]


def settled(
    votes: Votes,
    remaining: Sequence[str],
    rule: str,
    min_judges: int,
    reliability: Reliability | None = None,
) -> bool:
    """Whether `decide(votes)` gives the pair's outcome and grade already, whatever `remaining` judges answer.

    True only where every completion of the votes, failures of the remaining judges among them, has the same
    outcome and grade; then they need not be asked. Under `reliability` with more than 6 known judges
    remaining it says False without looking.
    """
    now = decide(votes, rule, min_judges, reliability)
    known = None if rule != Outcome.RELIABILITY.value else learned(reliability).judges
    open_to = [judge for judge in remaining if known is None or judge in known]
    answered = [vote for _, vote in _heard(votes, rule, reliability)]
    least = _least(min_judges, len(votes) + len(remaining))
    if now.outcome is Outcome.FAILED:
        return len(answered) + len(open_to) < least
    if len(answered) < least:
        return False  # all that remain may fail
    return _STAYS[rule](votes, answered, open_to, reliability)


def _stays_unanimous(
    votes: Votes, answered: Sequence[int], open_to: Sequence[str], reliability: Reliability | None
) -> bool:
    del votes, reliability
    return not open_to or len(set(answered)) > 1


def _stays_majority(
    votes: Votes, answered: Sequence[int], open_to: Sequence[str], reliability: Reliability | None
) -> bool:
    """None can come about where all that remain joining the commonest grade is not enough."""
    del votes, reliability
    most, total = max(Counter(answered).values()), len(answered) + len(open_to)
    return 2 * most > total or 2 * (most + len(open_to)) <= total


def _stays_weighed(
    votes: Votes, answered: Sequence[int], open_to: Sequence[str], reliability: Reliability | None
) -> bool:
    del answered
    return learned(reliability).certain(votes, open_to)


_STAYS: Final = {
    Outcome.UNANIMOUS.value: _stays_unanimous,
    Outcome.RELIABILITY.value: _stays_weighed,
    Outcome.MAJORITY.value: _stays_majority,
}


def _label(
    key: PairKey, said: Sequence[Judgment], rule: str, min_judges: int, reliability: Reliability | None
) -> Label:
    votes = tuple((judgment.judge, judgment.grade) for judgment in said)
    verdict = decide(votes, rule, min_judges, reliability)
    return Label(
        query_id=key.query_id,
        doc_id=key.doc_id,
        grade=verdict.grade,
        distribution=verdict.distribution,
        outcome=verdict.outcome,
        votes=votes,
        rationale=next((j.rationale for j in said if j.rationale and j.grade == verdict.grade), ""),
        calls=sum(len(judgment.paths) for judgment in said),
        tokens=sum(judgment.tokens_in + judgment.tokens_out for judgment in said),
        cost=sum(judgment.cost for judgment in said),
    )


def _heard(votes: Votes, rule: str, reliability: Reliability | None) -> list[tuple[str, int]]:
    """The answers that the rule can use, failures left out."""
    answered = [(judge, vote) for judge, vote in votes if vote is not None]
    if rule != Outcome.RELIABILITY.value:
        return answered
    known = learned(reliability).judges
    return [(judge, vote) for judge, vote in answered if judge in known]


def _least(min_judges: int, asked: int) -> int:
    return max(1, min(min_judges, asked))


def learned(reliability: Reliability | None) -> Reliability:
    """What was learned of the judges. Raises ConfigError, with what to do, where that is nothing."""
    if reliability is None:
        raise ConfigError(
            "the rule `reliability` needs what was learned of the judges, and nothing was.",
            "Give it human-graded pairs to learn from, or set agreement.rule to unanimous or majority.",
        )
    return reliability


def _rule(name: str) -> Rule:
    try:
        return RULES[name]
    except KeyError:
        raise ConfigError(
            f"there is no agreement rule `{name}`.", f"The rules are {', '.join(RULES)}."
        ) from None


def _shares(votes: Sequence[int]) -> GradeDistribution:
    p0, p1, p2, p3 = (votes.count(grade) / len(votes) for grade in GRADES)
    return (p0, p1, p2, p3)
