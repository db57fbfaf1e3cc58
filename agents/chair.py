"""The annotator's chair: has the panel vote on a sample and hands in the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from serm.agents.loop import AgentOutcome, Decide, run_agent
from serm.agents.policy import Call, Rules, Said
from serm.core.records import Judgment, Label
from serm.core.settings_loop import AgreementSettings
from serm.tools.peer_vote import learned
from serm.tools.reliability import Reliability
from serm.tools.vote_tools import VoteDesk, vote_tools

NAME: Final = "chair"
SYSTEM: Final = """\
You chair a panel of judges that has graded query-document pairs from 0 (irrelevant) to 3 (perfectly
relevant). Have the panel vote with peer_vote, look at what the rule keeps, drops and could not decide and at
how the judges agree, and hand in the labels of one vote with submit_labels. Labels train a ranking model: a
wrong one costs more than a missing one. You may hand in a vote by the configured rule or by a stricter one,
never by a looser one."""


@dataclass(frozen=True, slots=True)
class ChairReport:
    """The labels that were handed in, dropped and failed pairs among them, and how the chair came to them."""

    labels: list[Label]
    rule: str
    reason: str
    outcome: AgentOutcome


def chair(
    judgments: Sequence[Judgment],
    agreement: AgreementSettings,
    decide: Decide | None = None,
    *,
    max_steps: int = 12,
    reliability: Reliability | None = None,
) -> ChairReport:
    """Have the chair settle a sample's judgments, under `decide` or (None) under its rules.

    `reliability` is what was learned of the judges; the rule of that name is offered only with it. Raises
    ConfigError where the config's rule is that one and nothing was learned, AgentError where even the
    chair's rules fail.
    """
    desk = VoteDesk(judgments, agreement, reliability)
    if agreement.rule not in desk.rules:
        learned(reliability)
    outcome = run_agent(
        NAME,
        decide,
        chair_rules(agreement.rule),
        vote_tools(desk),
        system=SYSTEM,
        task=f"Settle the labels of {len({judgment.key for judgment in judgments})} pairs. "
        f"The configured rule is {agreement.rule}, with at least {agreement.min_judges} answers.",
        max_steps=max_steps,
        finished=lambda: bool(desk.submitted),
        reset=desk.reset,
    )
    rule, labels = desk.votes[desk.submitted]
    return ChairReport(labels, rule, desk.reason, outcome)


def chair_rules(rule: str) -> Rules:
    """The chair's plan without a model: vote by the configured rule, hand the labels in."""

    def plan(said: Said) -> Call:
        if not said:
            return "peer_vote", {"rule": rule}
        return "submit_labels", {"vote_id": said[-1]["vote_id"], "reason": "by the configured rule"}

    return Rules(plan)
