"""Level 2: what the panel keeps, drops and could not decide."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serm.core import Failure, FailureKind, Judgment, Outcome
from serm.core.errors import ConfigError
from serm.tools.peer_vote import RULES, decide, peer_vote


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
    verdict = decide(votes, rule, min_judges=2)
    assert (verdict.grade, verdict.outcome) == (grade, outcome)


def test_a_panel_of_one_judge_is_that_judge_s_word() -> None:
    assert decide([3], "unanimous", min_judges=2).grade == 3
    assert decide([None], "unanimous", min_judges=2).outcome is Outcome.FAILED


@given(st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=1, max_size=7), st.integers(1, 4))
def test_what_unanimity_keeps_the_majority_keeps_too_and_the_order_of_judges_is_nothing(
    votes: list[int | None], least: int
) -> None:
    strict, loose = decide(votes, "unanimous", least), decide(votes, "majority", least)
    if strict.outcome.kept:
        assert loose.grade == strict.grade
    for rule in RULES:
        assert decide(votes, rule, least) == decide(votes[::-1], rule, least)


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
    with pytest.raises(ConfigError, match="unanimous, majority"):
        peer_vote([], "consensus", 2)
