"""Level 2: what the panel keeps, drops and could not decide."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serm.core import Failure, FailureKind, Judgment, Outcome
from serm.core.errors import ConfigError
from serm.core.records import GRADES, GradeDistribution
from serm.tools.peer_vote import RULES, decide, peer_vote, settled
from serm.tools.reliability import Reliability, Table


def said(judge: str, grade: int | None, doc_id: str = "d", **changes: object) -> Judgment:
    judgment = Judgment(
        query_id="q",
        doc_id=doc_id,
        judge=judge,
        grade=grade,
        failure=None if grade is not None else Failure(FailureKind.TIMEOUT),
        distribution=None,
        paths=(grade,),
        rationale=f"{judge} says so",
        tokens_in=100,
        tokens_out=10,
        cost=0.5,
        latency=1.0,
        requests=1,
        prompt_hash="",
        model="m",
        revision="",
        simulated=False,
        cache_key=f"{judge}-{doc_id}",
    )
    return dataclasses.replace(judgment, **changes)


def named(grades: Sequence[int | None]) -> list[tuple[str, int | None]]:
    return [(chr(ord("a") + place), grade) for place, grade in enumerate(grades)]


def vote_for(strength: float) -> Table:
    """A judge whose answer speaks for its own grade, and a little for the grades beside it."""
    rows = [_four([strength * (1 - abs(vote - grade) / 2) for grade in GRADES]) for vote in GRADES]
    return (rows[0], rows[1], rows[2], rows[3])


def _four(values: Sequence[float]) -> GradeDistribution:
    p0, p1, p2, p3 = values
    return (p0, p1, p2, p3)


WORTH = Reliability(
    judges=("a", "b", "c"),
    worth=(1.0, 0.5, 0.1),
    base=(0.5, 0.0, 0.0, -0.3),
    weights=(vote_for(2.0), vote_for(0.7), vote_for(0.1)),
    lean=(0.0, 0.1, 0.1, 0.4),
    thresholds=(0.6, 0.45, 0.45, 0.3),
    graded=300,
)


@pytest.mark.parametrize(
    ("votes", "rule", "grade", "outcome"),
    [
        ([2, 2, 2], "unanimous", 2, Outcome.UNANIMOUS),
        ([2, 2, 1], "unanimous", None, Outcome.DROPPED),
        ([2, 2, None], "unanimous", 2, Outcome.UNANIMOUS),
        ([2, None, None], "unanimous", None, Outcome.FAILED),
        ([None, None, None], "unanimous", None, Outcome.FAILED),
        ([2, 2, 1], "majority", 2, Outcome.MAJORITY),
        ([2, 1, 0], "majority", None, Outcome.DROPPED),
        ([2, 1], "majority", None, Outcome.DROPPED),
        ([2, 2, 1, 1], "majority", None, Outcome.DROPPED),
        ([1, None, 0], "majority", None, Outcome.DROPPED),
    ],
)
def test_votes_become_a_verdict(
    votes: list[int | None], rule: str, grade: int | None, outcome: Outcome
) -> None:
    verdict = decide(named(votes), rule, min_judges=2)
    assert (verdict.grade, verdict.outcome) == (grade, outcome)


def test_a_panel_of_one_judge_is_that_judge_s_word() -> None:
    assert decide([("a", 3)], "unanimous", min_judges=2).grade == 3
    assert decide([("a", None)], "unanimous", min_judges=2).outcome is Outcome.FAILED


@given(st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=1, max_size=7), st.integers(1, 4))
def test_what_unanimity_keeps_the_majority_keeps_too_and_the_order_of_judges_is_nothing(
    grades: list[int | None], least: int
) -> None:
    votes = named(grades)
    strict, loose = decide(votes, "unanimous", least), decide(votes, "majority", least)
    if strict.outcome.kept:
        assert loose.grade == strict.grade
    for rule in RULES:
        assert decide(votes, rule, least, WORTH) == decide(votes[::-1], rule, least, WORTH)


def test_a_label_bears_votes_shares_words_and_what_it_took() -> None:
    judgments = [said("a", 1), said("b", 2), said("c", 2, paths=(2, 2, None)), said("a", 0, doc_id="e")]
    first, second = peer_vote(judgments, "majority", min_judges=1)
    assert (first.key, first.grade, first.outcome) == (("q", "d"), 2, Outcome.MAJORITY)
    assert first.votes == (("a", 1), ("b", 2), ("c", 2))
    assert first.distribution == pytest.approx((0, 1 / 3, 2 / 3, 0))
    assert (first.rationale, first.calls, first.tokens, first.cost) == ("b says so", 5, 330, 1.5)
    assert (second.key, second.grade) == (("q", "e"), 0)


def test_dropped_and_failed_pairs_are_labels_without_a_grade() -> None:
    judgments = [said("a", 1), said("b", 2), said("a", None, "e"), said("b", 2, "e")]
    dropped, failed = peer_vote(judgments, "unanimous", min_judges=2)
    assert (dropped.grade, dropped.outcome, dropped.rationale) == (None, Outcome.DROPPED, "")
    assert (failed.grade, failed.outcome) == (None, Outcome.FAILED)
    assert failed.votes == (("a", None), ("b", 2))


def test_an_unknown_rule_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(ConfigError, match="unanimous, reliability, majority"):
        peer_vote([], "consensus", 2)


def test_reliability_without_anything_learned_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="human-graded"):
        decide(named([1, 1]), "reliability", 2)
    with pytest.raises(ConfigError, match="human-graded"):
        settled(named([1, 1]), ["c"], "reliability", 2)


def test_under_reliability_a_label_bears_the_posterior_and_its_own_outcome() -> None:
    judgments = [said("a", 3), said("b", 2), said("c", 2)]
    (label,) = peer_vote(judgments, "reliability", min_judges=2, reliability=WORTH)
    assert (label.grade, label.outcome, label.rationale) == (3, Outcome.RELIABILITY, "a says so")
    assert label.distribution == WORTH.posterior(label.votes)


def test_answers_of_judges_that_nothing_is_known_of_do_not_count_under_reliability() -> None:
    assert decide([("x", 3), ("y", 3)], "reliability", 1, WORTH).outcome is Outcome.FAILED
    assert decide([("a", 3), ("y", 3)], "reliability", 2, WORTH).outcome is Outcome.FAILED
    alone, more = ([("a", 3), ("b", 3)], [("a", 3), ("y", 0), ("b", 3)])
    assert decide(alone, "reliability", 2, WORTH) == decide(more, "reliability", 2, WORTH)


ANSWERS = st.one_of(st.none(), st.integers(0, 3))


@given(
    st.lists(ANSWERS, max_size=4),
    st.integers(0, 3),
    st.integers(1, 4),
    st.sampled_from(list(RULES)),
    st.data(),
)
def test_a_pair_is_settled_just_where_no_completion_changes_its_outcome_or_grade(
    grades: list[int | None], further: int, least: int, rule: str, data: st.DataObject
) -> None:
    order = data.draw(st.permutations("abcdefg"))  # d and on are judges that nothing is known of
    votes = list(zip(order, grades, strict=False))
    remaining = order[len(votes) : len(votes) + further]
    now = decide(votes, rule, least, WORTH)
    ends = {
        (verdict.outcome, verdict.grade)
        for answers in product((None, 0, 1, 2, 3), repeat=further)
        for verdict in [decide([*votes, *zip(remaining, answers, strict=True)], rule, least, WORTH)]
    }
    expected = ends == {(now.outcome, now.grade)}
    assert settled(votes, remaining, rule, least, WORTH) == expected
