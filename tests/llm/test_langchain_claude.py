"""Claude by way of LangChain, against a real server on this machine that speaks Anthropic's protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
from provider_stub import (
    Answer,
    anthropic_error,
    anthropic_says,
    serve_provider,
    tool_use,
)

from serm.agents.panel import open_panel
from serm.core import FailureKind, Pair, Settings
from serm.core.settings_loop import LlmSettings
from serm.llm import retry
from serm.llm.chat import chat_model
from serm.llm.spec import parse_backend
from serm.storage.judgments import JudgmentStore

NEEDED = ("langchain", "langchain_anthropic")
pytestmark = pytest.mark.skipif(
    not all(find_spec(name) for name in NEEDED), reason=f"{' or '.join(NEEDED)} is not installed"
)

SettingsWith = Callable[..., Settings]
PairsOf = Callable[..., list[Pair]]


def claude(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("ANTHROPIC_API_URL", url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant")


def test_a_claude_answers_through_a_tool_that_it_has_to_call(
    store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(body: dict[str, Any], number: int) -> Answer:
        return anthropic_says(tool_use("answer", grade=3, reason="größer 你好"))

    with serve_provider(play) as server:
        claude(monkeypatch, server.url)
        with open_panel(settings_with("anthropic:claude-stub", llm={"timeout": 5})) as panel:
            assert panel.prove() == {"claude-stub": ""}
            report = panel.judge("claude-stub", pairs("a"), store)
    body = server.bodies[-1]
    assert server.paths[-1] == "/v1/messages"
    assert body["tools"][0]["input_schema"]["properties"]["grade"]["enum"] == [0, 1, 2, 3]
    assert body["tool_choice"]["type"] in ("any", "tool")
    assert body["max_tokens"] == 512
    assert (report.graded, report.tokens_in, report.tokens_out) == (1, 90, 9)
    (judgment,) = store.for_pair("q-a", "d-a")
    assert (judgment.grade, judgment.rationale) == (3, "größer 你好")


@pytest.mark.parametrize(
    "case",
    [
        (anthropic_error(529, "overloaded_error", "Overloaded"), FailureKind.SERVER, 2),
        (anthropic_error(429, "rate_limit_error", "slow down"), FailureKind.RATE_LIMITED, 2),
        (anthropic_error(401, "authentication_error", "invalid x-api-key"), FailureKind.REFUSED, 1),
        (
            anthropic_error(400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000"),
            FailureKind.TOO_LONG,
            1,
        ),
        (anthropic_says({"type": "text", "text": "I cannot grade."}), FailureKind.UNPARSABLE, 2),
        (anthropic_says(tool_use("answer", grade="high")), FailureKind.UNPARSABLE, 2),
    ],
)
def test_a_claude_that_fails_is_a_failure_of_its_kind(
    store: JudgmentStore,
    settings_with: SettingsWith,
    pairs: PairsOf,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[Answer, FailureKind, int],
) -> None:
    answer, kind, requests = case
    good = anthropic_says(tool_use("answer", grade=0, reason=""))
    with serve_provider(lambda body, number: answer if number else good) as server:
        claude(monkeypatch, server.url)
        with open_panel(settings_with("anthropic:claude-stub", llm={"timeout": 5, "retries": 1})) as panel:
            panel.judge("claude-stub", pairs("good"), store)
            report = panel.judge("claude-stub", pairs("bad"), store)
    assert dict(report.failures) == {kind.value: 1}
    assert len(server.bodies) == 1 + requests


def test_a_claude_decides_for_an_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    from langchain_core.tools import tool

    @tool
    def peer_vote(rule: str) -> str:
        """Vote."""
        return rule

    with serve_provider(lambda *_: anthropic_says(tool_use("peer_vote", rule="unanimous"))) as server:
        claude(monkeypatch, server.url)
        model = chat_model(parse_backend("anthropic:claude-stub"), LlmSettings(timeout=5))
        answer = model.bind_tools([peer_vote], tool_choice="any").invoke("vote")
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [
        ("peer_vote", {"rule": "unanimous"})
    ]
    assert answer.usage_metadata is not None
    assert server.bodies[0]["tools"][0]["name"] == "peer_vote"


def test_a_claude_may_search_before_it_grades(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from serm.llm.langchain_model import LangchainModel

    search = {
        "type": "function",
        "function": {
            "name": "search",
            "description": "s",
            "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
        },
    }
    said: list[Answer] = [
        anthropic_says({"type": "text", "text": "I look."}, tool_use("search", query="你好")),
        anthropic_says({"type": "text", "text": '{"grade": 2}'}),
    ]
    with serve_provider(lambda body, number: said[min(number, 1)]) as server:
        claude(monkeypatch, server.url)
        model = LangchainModel(parse_backend("anthropic:claude-stub"), LlmSettings(timeout=5))
        talk: list[dict[str, Any]] = [
            {"role": "system", "content": "Grade."},
            {"role": "user", "content": "A pair."},
        ]
        first = asyncio.run(model.turn(talk, [search], path=0))
        assert first.value is not None
        (call,) = first.value.calls
        assert (call.name, json.loads(call.arguments)) == ("search", {"query": "你好"})
        function = {"name": call.name, "arguments": "{not json"}
        talk += [
            {
                "role": "assistant",
                "content": first.value.text,
                "tool_calls": [{"id": call.id, "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": call.id, "content": "found"},
        ]
        second = asyncio.run(model.turn(talk, [search], path=0))
    assert second.value is not None
    assert (second.value.text, second.value.calls) == ('{"grade": 2}', ())
    sent = server.bodies[1]["messages"]
    assert sent[1]["content"][-1]["input"] == {"arguments": "{not json"}
    assert sent[2]["content"][0]["tool_use_id"] == call.id
