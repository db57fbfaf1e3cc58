"""Scripts: what is played depends on the conversation alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

from serm.agents.panel import open_panel
from serm.core import Pair, Settings
from serm.core.errors import AgentError, ConfigError
from serm.core.settings_loop import LlmSettings
from serm.llm.asking import Turn
from serm.llm.chat import chat_model
from serm.llm.script import read_script
from serm.llm.scripted import ScriptedAsker, ScriptedChatModel
from serm.llm.spec import parse_backend
from serm.storage.judgments import JudgmentStore

SCRIPT = """
turns:
  - hello
agents:
  drift:
    - tool_calls: [{name: detect_drift, args: {level: 0.1}}, {name: describe_window}]
    - {when: "nothing found", text: "then I stop"}
    - done
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "turns.yaml"
    path.write_text(SCRIPT)
    return path


def test_turn_n_answers_a_conversation_with_n_turns_of_the_model(script: Path) -> None:
    model = ScriptedChatModel(file=script, section="drift").bind_tools([])
    first = model.invoke([HumanMessage("go")])
    assert [(call["name"], call["args"]) for call in first.tool_calls] == [
        ("detect_drift", {"level": 0.1}),
        ("describe_window", {}),
    ]
    assert len({call["id"] for call in first.tool_calls}) == 2
    conversation = [HumanMessage("go"), first, ToolMessage("found", tool_call_id="x")]
    assert model.invoke(conversation).content == "done"
    assert model.invoke(conversation).content == "done", "asked again it says the same"
    assert model.invoke([HumanMessage("go")]).tool_calls == first.tool_calls


def test_a_turn_with_a_condition_is_played_when_it_holds(script: Path) -> None:
    model = ScriptedChatModel(file=script, section="drift")
    said = model.invoke([HumanMessage("go"), AIMessage("x"), ToolMessage("nothing found", tool_call_id="x")])
    assert said.content == "then I stop"


def test_what_a_script_says_is_marked_as_simulated(script: Path) -> None:
    model = ScriptedChatModel(file=script)
    assert model.simulated
    assert model.invoke([HumanMessage("go")]).response_metadata["simulated"] is True


def test_the_agent_is_told_by_the_metadata_of_the_call(script: Path) -> None:
    model = chat_model(parse_backend("scripted:turns.yaml"), LlmSettings(), folder=script.parent)
    drift = model.bind_tools([]).invoke([HumanMessage("go")], config={"metadata": {"agent": "drift"}})
    other = model.bind_tools([]).invoke([HumanMessage("go")], config={"metadata": {"agent": "other"}})
    assert drift.tool_calls
    assert other.content == "hello"


def test_a_script_that_is_over_says_so(script: Path) -> None:
    with pytest.raises(AgentError, match="holds no turn 2"):
        ScriptedChatModel(file=script).invoke([HumanMessage("go"), AIMessage("hello")])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "cannot be read"),
        ("- a", "is no script"),
        ("turn: [a]", "is no script"),
        ("agents: {other: [a]}", "no turns for `drift`"),
        ("turns: []", "no turns"),
        ("turns: [{say: a}]", "is no turn"),
        ("turns: [{tool_calls: [peer_vote]}]", "no list of tool calls"),
    ],
)
def test_a_broken_script_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        ScriptedChatModel(file=path, section="drift").invoke([HumanMessage("go")])
    assert says in error.value.message
    assert error.value.remedy


def test_a_missing_script_is_refused_when_the_model_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no script"):
        chat_model(parse_backend("scripted:none.yaml"), LlmSettings(), folder=tmp_path)


def test_recorded_judges_decide_for_no_agent() -> None:
    with pytest.raises(ConfigError, match="it calls no tools"):
        chat_model(parse_backend("replay:a.csv#x"), LlmSettings())


def test_a_server_of_one_s_own_decides_for_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    model = chat_model(parse_backend("http://localhost:1/v1#m"), LlmSettings(timeout=3, retries=2))
    assert isinstance(model, ChatOpenAI)
    assert (model.model_name, model.openai_api_base) == ("m", "http://localhost:1/v1")
    assert (model.max_retries, model.request_timeout) == (0, 3), "whoever pays for its turns repeats them"


def test_a_scripted_judge_is_read_as_strictly_as_any(
    tmp_path: Path, store: JudgmentStore, settings_with: Callable[..., Settings]
) -> None:
    (tmp_path / "judge.yaml").write_text(
        """
turns:
  - '{"grade": 2, "reason": "so"}'
  - {when: "[bad]", text: "prose"}
  - {when: "[seven]", text: '{"grade": 7}'}
"""
    )
    pairs = [Pair(f"q-{word}", "d", "q", f"[{word}]") for word in ("good", "bad", "seven")]
    settings = settings_with({"backend": "scripted:judge.yaml", "name": "s"}, agreement={"paths": 5})
    with open_panel(settings) as panel:
        report = panel.judge("s", pairs, store)
    assert dict(report.failures) == {"unparsable": 1, "out_of_range": 1}
    (judgment,) = store.for_pair("q-good", "d")
    assert (judgment.grade, judgment.rationale, judgment.simulated, judgment.paths) == (2, "so", True, (2,))


def test_a_scripted_judge_takes_turns_with_tools(script: Path) -> None:
    asker = ScriptedAsker(read_script(script, "drift"))
    question = {"role": "user", "content": "go"}

    def turn(*messages: dict[str, Any]) -> Turn:
        reply = asyncio.run(asker.turn([question, *messages], [], path=3))
        assert (reply.failure, reply.requests, reply.cost) == (None, 0, 0.0)
        assert reply.value is not None
        return reply.value

    first = turn()
    assert [(call.name, json.loads(call.arguments)) for call in first.calls] == [
        ("detect_drift", {"level": 0.1}),
        ("describe_window", {}),
    ]
    assert len({call.id for call in first.calls}) == 2
    said = {"role": "assistant", "content": ""}
    assert turn(said, {"role": "tool", "content": "found"}) == Turn("done")
    assert turn(said, {"role": "tool", "content": "nothing found"}) == Turn("then I stop")
    assert turn(said, said) == Turn(""), "a script that is over says nothing"
