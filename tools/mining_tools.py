"""The miner's tools as a chat model sees them: typed arguments in, less than 2 KB of JSON out.

What a tool finds stays on the desk as a list of candidates with an id; an agent passes ids on, never pairs.
To add a signal, write its pure function in a file of its own, its tool in `signal_tools`, its arguments in
`mining_arguments`, and a line below. `feedback_tools` has those that read clicks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from langchain_core.tools import BaseTool, StructuredTool

from serm.tools import desk_tools, drift_tools, feedback_tools, signal_tools
from serm.tools import mining_arguments as arguments
from serm.tools.desk import DeskView

Tool = tuple[Callable[..., str], type[arguments.Arguments]]

TOOLS: Final[Mapping[str, Tool]] = {
    "describe_window": (desk_tools.describe_window, arguments.NoArguments),
    "find_engaged_low": (feedback_tools.find_engaged_low, arguments.FeedbackArguments),
    "fit_click_model": (feedback_tools.fit_click_model, arguments.ClickModelArguments),
    "score_uncertainty": (signal_tools.score_uncertainty, arguments.UncertaintyArguments),
    "score_disagreement": (signal_tools.score_disagreement, arguments.PoolArguments),
    "score_bald": (signal_tools.score_bald, arguments.PoolArguments),
    "score_committee": (signal_tools.score_committee, arguments.PoolArguments),
    "score_novelty": (signal_tools.score_novelty, arguments.NoveltyArguments),
    "detect_drift": (drift_tools.detect_drift, arguments.DriftArguments),
    "find_skipped_high": (feedback_tools.find_skipped_high, arguments.SkippedArguments),
    "nominate": (desk_tools.nominate, arguments.NominateArguments),
    "finish": (desk_tools.finish, arguments.FinishArguments),
}


def mining_tools(view: DeskView, names: tuple[str, ...] = tuple(TOOLS)) -> list[BaseTool]:
    """LangChain tools over one agent's desk, those called `names`."""
    return [_tool(view, name, *TOOLS[name]) for name in names]


def _tool(
    view: DeskView, name: str, function: Callable[..., str], schema: type[arguments.Arguments]
) -> BaseTool:
    def call(**given: Any) -> str:
        return function(view, **given)

    return StructuredTool.from_function(
        call, name=name, description=" ".join((function.__doc__ or name).split()), args_schema=schema
    )
