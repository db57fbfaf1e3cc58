"""The chair: whoever decides, the labels come from a vote that the config allows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from test_peer_vote import said

from serm.agents.chair import chair
from serm.agents.policy import decider
from serm.core import Judgment, Outcome, Settings
from serm.core.settings_loop import AgreementSettings
from serm.storage.trace import SpanKind, Tracer, read_spans
from serm.tools.vote_tools import VoteDesk, vote_tools

SettingsOf = Callable[..., Settings]


@pytest.fixture
def judgments() -> list[Judgment]:
    votes = {"d1": (1, 1, 1), "d2": (2, 2, 0), "d3": (None, None, 3)}
    return [
        said(judge, grade, doc_id)
        for doc_id, grades in votes.items()
        for judge, grade in zip(("a", "b", "c"), grades, strict=True)
    ]


def test_by_its_rules_the_chair_votes_by_the_config_s_rule(judgments: list[Judgment]) -> None:
    report = chair(judgments, AgreementSettings(rule="majority"))
    assert report.outcome.calls == ("peer_vote", "submit_labels")
    assert (report.rule, report.outcome.fell_back) == ("majority", False)
    assert [label.outcome for label in report.labels] == [Outcome.MAJORITY, Outcome.MAJORITY, Outcome.FAILED]


SCRIPT = """
agents:
  chair:
    - tool_calls: [{name: peer_vote, args: {rule: majority}}]
    - tool_calls: [{name: submit_labels, args: {vote_id: v1}}]
    - tool_calls: [{name: peer_vote, args: {rule: unanimous}}]
    - tool_calls: [{name: submit_labels, args: {vote_id: v2, reason: the majority is too loose}}]
"""


def test_a_model_s_calls_and_their_results_are_in_the_trace_and_no_model_loosens_the_rule(
    tmp_path: Path, judgments: list[Judgment], settings_of: SettingsOf
) -> None:
    (tmp_path / "chair.yaml").write_text(SCRIPT)
    settings = settings_of(agents={"policy": "llm", "llm": "scripted:chair.yaml"})
    tracer = Tracer(tmp_path / "traces.sqlite", "t")
    with tracer.active():
        report = chair(judgments, settings.agreement, decider(settings, "chair"))
    tracer.close()
    assert (report.rule, report.reason) == ("unanimous", "the majority is too loose")
    assert not report.outcome.fell_back
    tools = [item for item in read_spans(tmp_path / "traces.sqlite", "t") if item.kind is SpanKind.TOOL]
    assert [item.name for item in tools] == ["peer_vote", "submit_labels"] * 2
    assert tools[0].inputs == {"rule": "majority"}
    assert '"kept":2,"dropped":0,"failed":1' in tools[0].outputs
    assert "majority is looser" in tools[1].error
    assert '"kept":1,"dropped":1,"failed":1' in tools[2].outputs


def test_a_chair_whose_model_talks_instead_of_working_falls_back_to_its_rules(
    tmp_path: Path, judgments: list[Judgment], settings_of: SettingsOf
) -> None:
    (tmp_path / "chair.yaml").write_text("turns: [hello, hello, hello]")
    settings = settings_of(agents={"policy": "llm", "llm": "scripted:chair.yaml"})
    report = chair(judgments, settings.agreement, decider(settings, "chair"))
    assert report.outcome.fell_back
    assert [label.grade for label in report.labels] == [1, None, None]


def test_what_the_vote_tells_stays_under_two_kilobytes_whatever_the_number_of_judges() -> None:
    many = [
        said(f"a-judge-with-a-very-long-name-{n}" * 4, n % 4, f"d{d}") for n in range(15) for d in range(5)
    ]
    vote, submit = vote_tools(VoteDesk(many, AgreementSettings()))
    assert len(vote.invoke({"rule": "unanimous"}).encode()) < 2_048
    assert "v1" in submit.invoke({"vote_id": "v1"})


def test_a_sample_without_pairs_is_settled_at_once() -> None:
    assert chair([], AgreementSettings()).labels == []
