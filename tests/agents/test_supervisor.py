"""One turn of a supervisor that is a chat model, and the tools that it has."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import BaseTool

from serm.agents.supervisor import Turn, model_turn, supervisor_system
from serm.core.errors import BudgetExceededError
from serm.llm.brake import StopRequestedError
from serm.tools.supervisor_tools import AFTER, NEXT, RoundDesk, supervisor_tools

TALK = [SystemMessage(supervisor_system()), HumanMessage("Round 1.")]


def calls(*wanted: tuple[str, dict[str, Any]]) -> AIMessage:
    return AIMessage(
        "", tool_calls=[{"name": name, "args": args, "id": f"c{i}"} for i, (name, args) in enumerate(wanted)]
    )


class Says:
    label = "a model"

    def __init__(self, message: AIMessage | Exception) -> None:
        self.message = message

    def __call__(self, _: Any, tools: Any) -> AIMessage:
        if isinstance(self.message, Exception):
            raise self.message
        return self.message


def turn(message: AIMessage | Exception, phase: str = "opened", *, bad: int = 0, number: int = 1) -> Turn:
    desk = RoundDesk(phase=phase, pairs=40, questions=1)
    return model_turn(Says(message), TALK, desk, turn=number, bad=bad, max_steps=5, asking=True)


def test_the_tools_are_those_of_a_round_and_none_promotes() -> None:
    def names(tools: list[BaseTool]) -> list[str]:
        return [tool.name for tool in tools]

    everything = ["mine", "annotate", "retrain", "evaluate", "ask_person", "stop"]
    assert names(supervisor_tools(RoundDesk())) == everything
    assert names(supervisor_tools(RoundDesk(), asking=False)) == [n for n in everything if n != "ask_person"]
    assert all(tool.description for tool in supervisor_tools(RoundDesk()))


def test_a_good_call_is_decided_on_and_answered_later() -> None:
    found = turn(calls(("mine", {"pairs": 7})))
    assert (found.act, found.given, found.call) == ("mine", {"pairs": 7}, "c0")
    assert (found.bad, found.stopped) == (0, "")
    assert not any(isinstance(message, ToolMessage) for message in found.messages)
    assert turn(calls(("mine", {}))).given == {"pairs": 40}


def test_of_several_calls_the_first_counts_and_the_others_are_answered() -> None:
    found = turn(calls(("mine", {}), ("annotate", {}), ("retrain", {})))
    assert found.act == "mine"
    refused = [message for message in found.messages if isinstance(message, ToolMessage)]
    assert [message.tool_call_id for message in refused] == ["c1", "c2"]
    assert all(message.status == "error" for message in refused)


@pytest.mark.parametrize(
    ("message", "phase", "says"),
    [
        (calls(("retrain", {})), "opened", "retrain does not fit here: nothing is mined yet. What can come"),
        (calls(("annotate", {})), "opened", "What can come next is mine."),
        (calls(("retrain", {})), "mined", "What can come next is annotate."),
        (calls(("evaluate", {})), "labelled", "no challenger is trained. What can come next is retrain."),
        (calls(("mine", {})), "labelled", "mine does not fit here"),
        (calls(("annotate", {})), "trained", "annotate does not fit here"),
        (
            calls(("mine", {"pairs": 41})),
            "opened",
            "41 pairs are more than a round may send",
        ),
        (calls(("mine", {"pairs": 0})), "opened", "pairs: Input should be greater than or equal to 1"),
        (calls(("mine", {"pairs": "all", "budget": 9})), "opened", "budget: Extra inputs are not permitted"),
        (
            calls(("promote", {})),
            "trained",
            "there is no tool promote. You have mine, annotate",
        ),
        (calls(("stop", {"reason": ""})), "opened", "reason: String should have at least 1 character"),
        (AIMessage("I shall think."), "opened", "You called no tool. Call one of mine, annotate"),
        (
            AIMessage("", invalid_tool_calls=[{"name": "mine", "args": "{", "id": "x", "error": None}]),
            "opened",
            "the arguments are not a JSON object.",
        ),
    ],
)
def test_a_bad_call_comes_back_once_and_the_second_ends_its_part(
    message: AIMessage, phase: str, says: str
) -> None:
    first = turn(message, phase)
    assert (first.act, first.bad, first.stopped) == ("", 1, "")
    assert says in first.messages[-1].text
    second = turn(message, phase, bad=1)
    assert second.stopped.startswith("2 bad calls in a row")
    assert says in second.stopped


def test_every_phase_leads_to_the_next_one_by_the_rules() -> None:
    phase, taken = "opened", []
    while phase in NEXT and NEXT[phase] not in taken:
        taken.append(NEXT[phase])
        phase = AFTER.get(NEXT[phase], phase)
    assert taken == ["mine", "annotate", "retrain", "evaluate"]
    for phase in NEXT:
        assert turn(calls(("ask_person", {"question": "Why?"})), phase).act == "ask_person"
        assert turn(calls(("stop", {"reason": "enough"})), phase).act == "stop"


def test_what_a_person_is_shown_is_one_plain_line() -> None:
    found = turn(calls(("ask_person", {"question": "Is it\n\x1b[2J a  campaign?"})))
    assert found.given == {"question": "Is it [2J a campaign?"}


def test_people_are_not_asked_without_end() -> None:
    desk = RoundDesk(questions=0)
    tools: dict[str, BaseTool] = {tool.name: tool for tool in supervisor_tools(desk)}
    with pytest.raises(Exception, match="nobody can be asked"):
        tools["ask_person"].invoke({"question": "Again?"})
    assert desk.act == ""


@pytest.mark.parametrize(
    "wrong",
    [
        AIMessage(""),
        AIMessage("", invalid_tool_calls=[{"name": "mine", "args": "{", "id": "x", "error": None}]),
    ],
)
def test_a_turn_that_was_cut_off_says_so(wrong: AIMessage) -> None:
    wrong = wrong.model_copy(update={"response_metadata": {"finish_reason": "length", "cut_off_at": 16}})
    assert "cut off at `llm.max_tokens` = 16 tokens" in turn(wrong).messages[-1].text
    assert "cut off at `llm.max_tokens` = 16 tokens" in turn(wrong, bad=1).stopped


def test_turns_and_money_run_out_and_a_model_dies() -> None:
    silent: list[BaseMessage] = []
    found = turn(AssertionError("it is not asked"), number=6)
    assert found.stopped == "not done after 5 turns"
    assert list(found.messages) == silent
    assert turn(TimeoutError("gone")).stopped == "the model failed: TimeoutError: gone"
    with pytest.raises(BudgetExceededError):  # no rules help there: the run stops
        turn(BudgetExceededError("it is spent"))
    with pytest.raises(StopRequestedError):
        turn(StopRequestedError())
