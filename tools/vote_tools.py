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

from serm.core.records import Judgment, Label, Outcome, PairKey
from serm.core.settings_loop import AgreementSettings
from serm.tools.peer_vote import RULES, peer_vote, usable
from serm.tools.reliability import Reliability
from serm.tools.result import result


@dataclass
class VoteDesk:
    """One sample's judgments, and the chair's notes."""

    judgments: Sequence[Judgment]
    agreement: AgreementSettings
    reliability: Reliability | None = None  # what was learned of the judges; none: that rule is not offered
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
        upto = names[: names.index(self.agreement.rule) + 1]
        return tuple(name for name in upto if name in self.rules)

    @cached_property
    def rules(self) -> tuple[str, ...]:
        """Rules that can be tried: `reliability` only where something was learned."""
        return usable(self.reliability)

    @cached_property
    def judges(self) -> list[dict[str, Any]]:
        """Of each judge how many pairs it graded, on how many it failed, and its mean grade."""
        told = []
        for name, grades in self._grades.items():
            given = [grade for grade in grades.values() if grade is not None]
            mean = round(sum(given) / len(given), 2) if given else None
            failed = len(grades) - len(given)
            told.append({"judge": name, "graded": len(given), "failed": failed, "mean_grade": mean})
        return told

    @cached_property
    def agreement_of_two(self) -> list[dict[str, Any]]:
        """Of each two judges the share of the pairs that both graded on which they agree, the least first."""
        told = []
        for (first, ours), (second, theirs) in combinations(self._grades.items(), 2):
            both = [(ours[key], theirs[key]) for key in ours.keys() & theirs.keys()]
            graded = [pair for pair in both if None not in pair]
            if graded:
                share = sum(one == other for one, other in graded) / len(graded)
                told.append({"one": first, "other": second, "agree": round(share, 3)})
        return sorted(told, key=lambda item: float(str(item["agree"])))

    @cached_property
    def _grades(self) -> dict[str, dict[PairKey, int | None]]:
        by_judge: dict[str, dict[PairKey, int | None]] = {}
        for judgment in self.judgments:
            by_judge.setdefault(judgment.judge, {})[judgment.key] = judgment.grade
        return by_judge


class PeerVote(BaseModel):
    """Arguments of peer_vote."""

    rule: str = Field(
        description="agreement rule, the strictest first: unanimous, reliability (where it was "
        "learned from human grades) or majority"
    )


class SubmitLabels(BaseModel):
    """Arguments of submit_labels."""

    vote_id: str = Field(description="id of the vote to hand in, as peer_vote gave it")
    reason: str = Field(default="", description="why, in a sentence")


def try_rule(desk: VoteDesk, rule: str) -> str:
    """Have the panel vote on all pairs of the sample by a rule: how many are kept, dropped or not decided."""
    if rule not in desk.rules:
        raise ToolException(f"there is no rule {rule}. The rules are {', '.join(desk.rules)}.")
    labels = peer_vote(desk.judgments, rule, desk.agreement.min_judges, desk.reliability)
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
            "judges": desk.judges,
            "two_judges": desk.agreement_of_two,
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
