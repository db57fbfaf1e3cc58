"""The chair's tools: try an agreement rule on the panel's judgments, hand in the labels that it gives.

Thin coats over `peer_vote`: names in, less than 2 KB of JSON out. The votes stay on the desk under an id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, Field

from serm.core.records import Judgment, Label, Outcome
from serm.core.settings_loop import AgreementSettings
from serm.tools.peer_vote import RULES, peer_vote
from serm.tools.result import result


@dataclass
class VoteDesk:
    """One sample's judgments, and the chair's notes."""

    judgments: Sequence[Judgment]
    agreement: AgreementSettings
    votes: dict[str, tuple[str, list[Label]]] = field(default_factory=dict)  # id: rule, labels
    submitted: str = ""  # id of the vote that was handed in
    reason: str = ""

    def reset(self) -> None:
        """Forget everything: another policy starts from scratch."""
        self.votes, self.submitted, self.reason = {}, "", ""

    @property
    def labels(self) -> list[Label]:
        """What was handed in; [] before."""
        return self.votes[self.submitted][1] if self.submitted else []

    @cached_property
    def allowed(self) -> tuple[str, ...]:
        """Rules whose labels may be handed in: the config's and stricter ones. No model loosens the rule."""
        names = tuple(RULES)
        return names[: names.index(self.agreement.rule) + 1]

    @cached_property
    def judges(self) -> dict[str, Any]:
        """Of each judge how many pairs it graded, on how many it failed and its mean grade; and of each two
        judges the share of pairs on which they agree."""
        by_judge: dict[str, dict[tuple[str, str], int | None]] = {}
        for judgment in self.judgments:
            by_judge.setdefault(judgment.judge, {})[judgment.key] = judgment.grade
        told: dict[str, Any] = {}
        for name, grades in by_judge.items():
            given = [grade for grade in grades.values() if grade is not None]
            mean = round(sum(given) / len(given), 2) if given else None
            told[name] = {"graded": len(given), "failed": len(grades) - len(given), "mean_grade": mean}
        agreement = {}
        for first, second in combinations(by_judge, 2):
            both = [
                (by_judge[first][key], by_judge[second][key])
                for key in by_judge[first].keys() & by_judge[second].keys()
            ]
            answered = [pair for pair in both if None not in pair]
            if answered:
                share = sum(one == other for one, other in answered) / len(answered)
                agreement[f"{first} / {second}"] = round(share, 3)
        return {"judges": dict(list(told.items())[:8]), "agree": dict(list(agreement.items())[:8])}


class PeerVote(BaseModel):
    """Arguments of peer_vote."""

    rule: str = Field(description=f"agreement rule: {' or '.join(RULES)}")


class SubmitLabels(BaseModel):
    """Arguments of submit_labels."""

    vote_id: str = Field(description="id of the vote to hand in, as peer_vote gave it")
    reason: str = Field(default="", description="why, in a sentence")


def try_rule(desk: VoteDesk, rule: str) -> str:
    """Have the panel vote on all pairs of the sample by a rule: how many are kept, dropped or not decided."""
    if rule not in RULES:
        raise ToolException(f"there is no rule {rule}. The rules are {', '.join(RULES)}.")
    labels = peer_vote(desk.judgments, rule, desk.agreement.min_judges)
    vote_id = f"v{len(desk.votes) + 1}"
    desk.votes[vote_id] = (rule, labels)
    outcomes = Counter(label.outcome for label in labels)
    grades = Counter(label.grade for label in labels if label.outcome.kept)
    return result(
        {
            "vote_id": vote_id,
            "rule": rule,
            "may_be_submitted": rule in desk.allowed,
            "pairs": len(labels),
            "kept": sum(count for outcome, count in outcomes.items() if outcome.kept),
            "dropped": outcomes[Outcome.DROPPED],
            "failed": outcomes[Outcome.FAILED],
            "kept_by_grade": {str(grade): grades[grade] for grade in sorted(grades, key=str)},
            **desk.judges,
        }
    )


def submit(desk: VoteDesk, vote_id: str, reason: str) -> str:
    """Hand in the labels of a vote. This ends the chair's work."""
    if vote_id not in desk.votes:
        known = ", ".join(desk.votes) or "none yet; call peer_vote"
        raise ToolException(f"there is no vote {vote_id}. Votes: {known}.")
    rule, labels = desk.votes[vote_id]
    if rule not in desk.allowed:
        raise ToolException(
            f"the config asks for {desk.agreement.rule}, and {rule} is looser. "
            f"Hand in a vote by {' or '.join(desk.allowed)}."
        )
    desk.submitted, desk.reason = vote_id, reason
    return result({"submitted": vote_id, "labels": sum(label.outcome.kept for label in labels)})


def vote_tools(desk: VoteDesk) -> list[BaseTool]:
    """peer_vote and submit_labels over one desk."""

    def vote(rule: str) -> str:
        return try_rule(desk, rule)

    def hand_in(vote_id: str, reason: str = "") -> str:
        return submit(desk, vote_id, reason)

    return [
        StructuredTool.from_function(
            vote, name="peer_vote", description=str(try_rule.__doc__), args_schema=PeerVote
        ),
        StructuredTool.from_function(
            hand_in, name="submit_labels", description=str(submit.__doc__), args_schema=SubmitLabels
        ),
    ]
