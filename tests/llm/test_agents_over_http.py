"""An agent that is decided for by a chat model behind a real server on this machine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from chat_stub import ChatStub, Move, Raw, Say, Status
from mining_desks import make_desk

from serm.agents.miners import mine_with
from serm.agents.policy import decider
from serm.core import Settings
from serm.storage.trace import Span, SpanKind, Tracer, read_spans

TURNS: list[tuple[str, dict[str, Any]]] = [
    ("describe_window", {}),
    ("score_uncertainty", {"measure": "margin"}),
    ("nominate", {"candidates": "c1", "count": 5, "reason": "a model thinks so"}),
    ("finish", {"reason": "five are enough"}),
]


def say_call(name: str, arguments: str) -> Raw:
    function = {"name": name, "arguments": arguments}
    message = {"role": "assistant", "content": None}
    message["tool_calls"] = [{"id": f"call-{name}", "type": "function", "function": function}]  # type: ignore[assignment]
    answer = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "stub",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55},
    }
    return Raw(json.dumps(answer).encode())


def turn(body: dict[str, Any]) -> int:
    return sum(message["role"] == "assistant" for message in body["messages"])


@pytest.fixture
def mined(
    stub: ChatStub, settings_with: Callable[..., Settings], tmp_path: Path
) -> Callable[[Callable[[dict[str, Any], int], Move]], tuple[pd.DataFrame, list[Span]]]:
    """Run the uncertainty agent against a server that plays this; its nominations and its spans."""

    def mine(play: Callable[[dict[str, Any], int], Move]) -> tuple[pd.DataFrame, list[Span]]:
        stub.play = play
        config = settings_with(agents={"policy": "llm", "llm": f"{stub.url}#stub"}, llm={"timeout": 5.0})
        tracer = Tracer(tmp_path / "traces.sqlite", "t")
        with tracer.active():
            frame = mine_with("uncertainty", make_desk(), decider(config, "uncertainty"), 20, max_steps=6)
        tracer.close()
        return frame, read_spans(tmp_path / "traces.sqlite", "t")

    return mine


def test_a_model_behind_a_server_calls_the_tools_and_its_tokens_are_in_the_trace(
    stub: ChatStub, mined: Callable[..., tuple[pd.DataFrame, list[Span]]]
) -> None:
    frame, spans = mined(lambda body, _: say_call(TURNS[turn(body)][0], json.dumps(TURNS[turn(body)][1])))
    assert len(frame) == 5
    assert [item.name for item in spans if item.kind is SpanKind.TOOL] == [name for name, _ in TURNS]
    models = [item for item in spans if item.kind is SpanKind.MODEL]
    assert all((m.attributes["tokens_in"], m.attributes["tokens_out"]) == (50, 5) for m in models)
    assert not any("simulated" in m.attributes for m in models)
    offered = {tool["function"]["name"]: tool["function"] for tool in stub.bodies[0]["tools"]}
    assert set(offered) == {"describe_window", "score_uncertainty", "nominate", "finish"}
    measures = offered["score_uncertainty"]["parameters"]["properties"]["measure"]["anyOf"][0]
    assert measures["enum"] == ["entropy", "margin"]
    assert stub.bodies[0]["tool_choice"] == "required"
    assert "metadata" not in stub.bodies[0]
    said = [message for message in stub.bodies[-1]["messages"] if message["role"] == "tool"]
    assert [message["tool_call_id"] for message in said] == [f"call-{name}" for name, _ in TURNS[:3]]


@pytest.mark.parametrize(
    ("move", "reason", "requests"),
    [
        (Status(401), "HTTP 401: no. It was sent no key: name the variable that holds its key in", 1),
        (Status(500), "Error code: 500", 2),
        (Say("I would rather not."), "You called no tool", 2),
        (say_call("nominate", "{not json"), "the arguments are not a JSON object", 2),
    ],
)
def test_a_server_that_fails_or_talks_leaves_the_work_to_the_rules(
    move: Move,
    reason: str,
    requests: int,
    stub: ChatStub,
    mined: Callable[..., tuple[pd.DataFrame, list[Span]]],
) -> None:
    frame, spans = mined(lambda body, _: move)
    pd.testing.assert_frame_equal(frame, mine_with("uncertainty", make_desk(), None, 20))
    agent = next(item for item in spans if item.kind is SpanKind.AGENT)
    assert agent.attributes["fell_back"] is True
    assert reason in agent.attributes["reason"]
    assert len(stub.bodies) == requests
