"""A server that makes no model call a tool is asked so that its model may: for agents as for judges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from chat_stub import Call, ChatStub, Move, Status
from mining_desks import make_desk

from serm.agents.miners import mine_with
from serm.agents.policy import decider
from serm.core import Settings
from serm.llm.purse import Purse
from serm.storage.judgments import JudgmentStore

REFUSAL = Status(400, "Invalid value for 'tool_choice': 'required' is not supported, use 'auto'")
TURNS = [
    ("score_uncertainty", '{"measure": "margin"}'),
    ("nominate", '{"candidates": "c1", "count": 20, "reason": "unsure"}'),
]
PRICE = {"input": 1_000.0, "output": 10_000.0}


def unforced(body: dict[str, Any], _: int) -> Move:
    if body.get("tool_choice") != "auto":
        return REFUSAL
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    return Call((TURNS[turn],), tokens_in=50, tokens_out=5)


@pytest.fixture
def reasons(
    stub: ChatStub, settings_with: Callable[..., Settings], store: JudgmentStore
) -> Callable[[Callable[[dict[str, Any], int], Move]], set[str]]:
    """Why an agent nominated what it did, on a server that plays this; retries are none."""

    def mine(play: Callable[[dict[str, Any], int], Move]) -> set[str]:
        stub.play = play
        llm = {"retries": 0, "prices": {"stub": PRICE}, "max_tokens": 16}
        settings = settings_with(agents={"llm": f"{stub.url}#stub"}, llm=llm)
        decide = decider(settings, "uncertainty", Purse(None, store))
        found = mine_with("uncertainty", make_desk(), decide, 20)
        return {reason.rpartition(": ")[2] for reason in found["reason"]}

    return mine


def test_a_model_that_refuses_to_be_made_to_call_a_tool_may_call_one_or_none_from_then_on(
    stub: ChatStub, reasons: Callable[..., set[str]], store: JudgmentStore
) -> None:
    assert reasons(unforced) == {"unsure"}, "the model's words, not the rules'"
    assert [body["tool_choice"] for body in stub.bodies] == ["required", "auto", "auto"]
    assert store.turn_totals().turns == 2
    assert store.spent() == pytest.approx(2 * (50 * 1_000 + 5 * 10_000) / 1e6), "a refusal costs nothing"


def test_a_server_that_refuses_either_way_is_asked_once_more_and_no_further(
    stub: ChatStub, reasons: Callable[..., set[str]]
) -> None:
    assert "unsure" not in reasons(lambda body, _: REFUSAL)
    assert [body["tool_choice"] for body in stub.bodies] == ["required", "auto"]


def test_what_was_taken_once_is_not_given_up_over_a_refusal_that_names_it(
    stub: ChatStub, reasons: Callable[..., set[str]]
) -> None:
    def play(body: dict[str, Any], _: int) -> Move:
        started = any(message["role"] == "assistant" for message in body["messages"])
        return Status(400, "no: tool_choice") if started else Call((TURNS[0],))

    assert "unsure" not in reasons(play)
    assert [body["tool_choice"] for body in stub.bodies] == ["required", "required"]
