"""The miner's plan: in which proportion agents share the budget, tried out and handed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import Field

from serm.tools.desk import DeskView
from serm.tools.mining_arguments import Arguments
from serm.tools.mining_tools import mining_tools
from serm.tools.quotas import shared_out
from serm.tools.result import result

PROBES: Final = ("describe_window", "detect_drift", "score_uncertainty")
"""Tools that look at the window; what they find is for the plan alone, nobody nominates it."""


@dataclass
class PlanDesk:
    """What may be shared out, and what was handed in."""

    view: DeskView
    agents: Sequence[str]  # those that the config lets mine
    budget: int  # pairs
    quotas: dict[str, int] = field(default_factory=dict)  # those set last: shares, in pairs
    reason: str = ""
    submitted: bool = False

    def reset(self) -> None:
        """Forget everything: another policy starts from scratch."""
        self.view.reset()
        self.quotas, self.reason, self.submitted = {}, "", False


class SetQuotas(Arguments):
    quotas: dict[str, Annotated[int, Field(ge=0)]] = Field(
        description="pairs for each agent, such as {uncertainty: 30, drift: 10}; one left out gets 0, and "
        "where they come to less than the budget all of it is shared out in proportion to them"
    )


class SubmitPlan(Arguments):
    reason: str = Field(min_length=1, max_length=300, description="why the pairs are shared out like this")


def set_quotas(desk: PlanDesk, quotas: dict[str, int]) -> str:
    """Share the budget out among the agents, in proportion to the quotas. The answer says what that comes to.
    What an agent cannot use goes to the others. Call it again to change your mind."""
    unknown = sorted(set(quotas) - set(desk.agents))
    if unknown:
        raise ToolException(f"there is no agent {unknown[0]}. The agents are {', '.join(desk.agents)}.")
    total = sum(quotas.values())
    if total > desk.budget:
        raise ToolException(f"the quotas come to {total} pairs, and the budget is {desk.budget}.")
    if not total:
        raise ToolException("the quotas come to no pair at all.")
    desk.quotas = {agent: quotas.get(agent, 0) for agent in desk.agents}
    return result({"quotas": desk.quotas, "pairs": shared_out(desk.budget, desk.quotas)})


def submit_plan(desk: PlanDesk, reason: str) -> str:
    """Hand the quotas in. This ends your work."""
    if not desk.quotas:
        raise ToolException("there are no quotas yet: call set_quotas first.")
    desk.reason, desk.submitted = reason, True
    return result({"submitted": desk.quotas})


def plan_tools(desk: PlanDesk) -> list[BaseTool]:
    """Look, set quotas, hand in."""

    def quotas(**given: Any) -> str:
        return set_quotas(desk, **given)

    def submit(**given: Any) -> str:
        return submit_plan(desk, **given)

    return [
        *mining_tools(desk.view, PROBES),
        StructuredTool.from_function(
            quotas, name="set_quotas", description=str(set_quotas.__doc__), args_schema=SetQuotas
        ),
        StructuredTool.from_function(
            submit, name="submit_plan", description=str(submit_plan.__doc__), args_schema=SubmitPlan
        ),
    ]
