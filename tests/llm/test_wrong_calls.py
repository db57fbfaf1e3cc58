"""What a model calls wrongly comes back to it as a message, whatever its server makes of wrong calls."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chat_stub import Call, ChatStub, Move, Raw, Status, completion
from mining_desks import make_desk

from serm.agents.miners import mine_with
from serm.agents.policy import decider
from serm.core import Settings
from serm.core.settings_loop import LlmSettings, Price
from serm.llm.langchain_model import LangchainModel
from serm.llm.purse import Purse
from serm.llm.spec import parse_backend
from serm.storage.judgments import JudgmentStore
from serm.storage.trace import Span, SpanKind, Tracer, read_spans

TURNS = [
    ("describe_window", "{}"),
    ("score_uncertainty", '{"measure": "margin"}'),
    ("nominate", '{"candidates": "c1", "count": 5, "reason": "a model thinks so"}'),
    ("finish", '{"reason": "five are enough"}'),
]
PRICE = {"input": 1_000.0, "output": 10_000.0}
A_TURN = (50 * 1_000 + 5 * 10_000) / 1e6


def say(name: str, arguments: str) -> Call:
    return Call(((name, arguments),), tokens_in=50, tokens_out=5)


def after(*wrong: Move) -> Callable[[dict[str, Any], int], Move]:
    """A model that calls wrongly first, on a server that refuses conversations with such a call in them."""

    def play(body: dict[str, Any], _: int) -> Move:
        for function in sent_calls(body):
            if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", function["name"]):
                return Status(400, "a bad name")
            try:
                given = json.loads(function["arguments"])
            except ValueError:
                return Status(400, "arguments that are no JSON")
            if not isinstance(given, dict):
                return Status(400, "arguments that are no object")
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        return [*wrong, *(say(*call) for call in TURNS)][turn]

    return play


def sent_calls(body: dict[str, Any]) -> list[dict[str, str]]:
    return [call["function"] for said in body["messages"] for call in said.get("tool_calls") or ()]


@dataclass(frozen=True)
class Found:
    """What came of an agent."""

    nominated: int
    spans: list[Span]

    @property
    def agent(self) -> dict[str, Any]:
        return dict(next(item for item in self.spans if item.kind is SpanKind.AGENT).attributes)

    @property
    def tools(self) -> list[tuple[str, str]]:
        """Each call: the tool's name as the model wrote it, and what was wrong with it."""
        return [(item.name, item.error) for item in self.spans if item.kind is SpanKind.TOOL]


@pytest.fixture
def mined(
    stub: ChatStub,
    settings_with: Callable[..., Settings],
    store: JudgmentStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Found]:
    """The uncertainty agent at work, its turns paid for, on a server that plays this."""

    def mine(play: Callable[[dict[str, Any], int], Move], backend: str = "") -> Found:
        stub.play = play
        monkeypatch.setenv("OPENAI_BASE_URL", stub.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk")
        settings = settings_with(
            agents={"policy": "llm", "llm": backend or f"{stub.url}#stub"},
            llm={"retries": 2, "prices": {"stub": PRICE}, "max_tokens": 16},
        )
        tracer = Tracer(tmp_path / "traces.sqlite", "t")
        with tracer.active():
            decide = decider(settings, "uncertainty", Purse(None, store))
            frame = mine_with("uncertainty", make_desk(), decide, 20, max_steps=8)
        tracer.close()
        return Found(len(frame), read_spans(tmp_path / "traces.sqlite", "t"))

    return mine


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("describe_window", "{not json", "the arguments are not a JSON object."),
        ("describe_window", "[24]", "the arguments are not a JSON object."),
        ("describe_window", "3", "the arguments are not a JSON object."),
        ("describe window", "{}", "there is no tool describe window."),
        ("describe.window", "[24]", "the arguments are not a JSON object."),
    ],
)
def test_a_wrong_call_comes_back_to_the_model_which_then_goes_on_by_itself(  # noqa: PLR0917
    stub: ChatStub,
    mined: Callable[..., Found],
    store: JudgmentStore,
    name: str,
    arguments: str,
    error: str,
) -> None:
    found = mined(after(say(name, arguments)))
    assert (found.nominated, found.agent["fell_back"]) == (5, False)
    (first, wrong), *others = found.tools
    assert first == name, "the trace has what the model said"
    assert error in wrong
    assert [tool for tool, _ in others] == [tool for tool, _ in TURNS]
    assert error in stub.bodies[1]["messages"][-1]["content"]
    assert len(stub.bodies) == store.turn_totals().turns == 5
    assert store.spent() == pytest.approx(5 * A_TURN), "what the server counted, the wrong turn as well"


def test_a_second_one_in_a_row_hands_over_to_the_rules(stub: ChatStub, mined: Callable[..., Found]) -> None:
    found = mined(after(say("describe_window", "[24]"), say("describe_window", '"all"')))
    assert found.agent["fell_back"] is True
    assert "2 bad calls in a row" in found.agent["reason"]
    assert (len(stub.bodies), found.nominated) == (2, 20)


def test_arguments_that_a_server_has_parsed_are_taken_as_they_are(mined: Callable[..., Found]) -> None:
    body = completion(Call((("score_uncertainty", ""),)))
    body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = {"measure": "margin"}
    found = mined(lambda asked, times: Raw(json.dumps(body).encode()) if times == 0 else Status(401))
    assert found.tools[0] == ("score_uncertainty", "")


def test_a_package_that_fails_at_a_wrong_call_costs_one_turn_and_the_model_is_told(
    stub: ChatStub, mined: Callable[..., Found], store: JudgmentStore
) -> None:
    """LangChain's own class loses the name of the call and the count of tokens."""
    found = mined(after(say("describe_window", "[24]")), backend="langchain:openai:stub")
    assert (found.nominated, found.agent["fell_back"]) == (5, False)
    assert found.tools[0] == ("", "the arguments are not a JSON object.")
    assert len(stub.bodies) == store.turn_totals().turns == 5
    assert store.turn_totals().tokens_in == 4 * 50
    assert store.spent() > 4 * A_TURN


def test_a_judge_with_tools_hears_of_it_too(stub: ChatStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", stub.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk")
    stub.play = lambda body, times: say("look", "[1]")
    model = LangchainModel(
        parse_backend("langchain:openai:stub"),
        LlmSettings(timeout=20.0, retries=2, max_tokens=16),
        price=Price(**PRICE),
    )
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    reply = asyncio.run(model.turn([{"role": "user", "content": "Look."}], [tool], path=0))
    assert reply.value is not None
    assert [call.arguments for call in reply.value.calls] == ["[1]"]
    assert (len(stub.bodies), reply.requests) == (1, 1)
    assert reply.cost > 16 * PRICE["output"] / 1e6
