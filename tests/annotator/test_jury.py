"""Who is asked when, and that leaving judges out changes no label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serm.agents.jury import Jury
from serm.core import Outcome
from serm.core.settings_loop import AgreementSettings
from serm.tools.peer_vote import decide
from serm.tools.reliability import Reliability, learn

NAMES = ("a", "b", "c", "d", "e")
Row = tuple[int | None, ...]


def learned() -> Reliability:
    """Five judges, right with probability .9, .8, ..., on 300 pairs."""
    rng = np.random.default_rng(3)
    grades = rng.integers(0, 4, 300)
    right = rng.random((300, 5)) < np.linspace(0.9, 0.5, 5)
    votes = np.where(right, grades[:, None], rng.integers(0, 4, (300, 5)))
    said = [list(zip(NAMES, map(int, row), strict=True)) for row in votes]
    return learn(said, [int(grade) for grade in grades], keep=0.75)


RELIABILITY = learned()


def jury(judges: Sequence[str], remote: Sequence[str] | None = None, **agreement: object) -> Jury:
    rules = AgreementSettings.model_validate(agreement)
    model = RELIABILITY if rules.rule == "reliability" else None
    return Jury(judges, rules, model, remote=judges if remote is None else remote)


def asked(panel: Jury, row: Row) -> list[tuple[str, int | None]]:
    """Whom the waves ask of a pair of which the judges would say `row`."""
    says = dict(zip(panel.judges, row, strict=True))
    votes: list[tuple[str, int | None]] = []
    for wave in panel.waves:
        if panel.settled(votes):
            break
        votes += [(name, says[name]) for name in wave]
    return votes


@pytest.mark.parametrize(
    ("rule", "judges", "waves"),
    [
        ("unanimous", 3, (("a", "b"), ("c",))),
        ("unanimous", 2, (("a", "b"),)),
        ("majority", 3, (("a", "b"), ("c",))),
        ("majority", 5, (("a", "b", "c"), ("d",), ("e",))),
    ],
)
def test_judges_are_asked_together_until_a_pair_can_be_settled_and_then_one_by_one(
    rule: str, judges: int, waves: tuple[tuple[str, ...], ...]
) -> None:
    assert jury(NAMES[:judges], rule=rule).waves == waves


def test_judges_that_cost_nothing_come_first_and_without_the_stop_all_come_at_once() -> None:
    assert jury(NAMES[:4], remote=("b", "d")).waves == (("a", "c"), ("b",), ("d",))
    assert jury(NAMES[:3], remote=("b",)).waves == (("a", "c"), ("b",))
    assert jury(NAMES[:4], early_stop=False).waves == (NAMES[:4],)
    assert jury(NAMES[:3], remote=()).waves == (NAMES[:3],)
    assert jury(()).waves == ()


def test_a_broken_unanimity_asks_no_third_judge() -> None:
    assert [name for name, _ in asked(jury(NAMES[:3]), (1, 2, 1))] == ["a", "b"]
    assert [name for name, _ in asked(jury(NAMES[:3]), (1, 1, 1))] == ["a", "b", "c"]
    assert [name for name, _ in asked(jury(NAMES[:3], rule="majority"), (1, 1, 0))] == ["a", "b"]


def rows(count: int) -> st.SearchStrategy[Row]:
    return st.tuples(*[st.sampled_from((0, 1, 2, 3, None))] * count)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_the_label_is_the_one_that_all_judges_would_have_given(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    rule = data.draw(st.sampled_from(("unanimous", "majority", "reliability")))
    least = data.draw(st.integers(1, 4))
    remote = data.draw(st.sets(st.sampled_from(NAMES[:count])))
    panel = jury(NAMES[:count], remote=sorted(remote), rule=rule, min_judges=least)
    row = data.draw(rows(count))
    votes = asked(panel, row)
    ours = decide(votes, rule, least, panel.reliability)
    all_of = decide(list(zip(NAMES, row, strict=False)), rule, least, panel.reliability)
    assert (ours.outcome, ours.grade) == (all_of.outcome, all_of.grade)


@given(row=rows(4), rule=st.sampled_from(("unanimous", "majority", "reliability")), debate=st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_disagreement_that_goes_on_has_heard_everybody(row: Row, rule: str, debate: bool) -> None:
    panel = jury(NAMES[:4], rule=rule, debate=debate, human_review=not debate)
    votes = asked(panel, row)
    if decide(votes, rule, 2, panel.reliability).outcome is Outcome.DROPPED:
        assert [name for name, _ in votes] == list(NAMES[:4])


def test_a_pair_is_settled_under_every_rule_that_the_chair_may_hand_in() -> None:
    lone = Jury(NAMES[:3], AgreementSettings(rule="majority"), remote=NAMES[:3])
    chaired = Jury(
        NAMES[:3], AgreementSettings(rule="majority"), remote=NAMES[:3], rules=("unanimous", "majority")
    )
    votes = (("a", 1), ("b", 1))
    assert lone.settled(votes)
    assert not chaired.settled(votes), "the third judge can still break unanimity"
    assert chaired.settled((("a", 1), ("b", 2), ("c", 1)))
