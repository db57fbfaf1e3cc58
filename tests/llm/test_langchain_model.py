"""Chat models of LangChain's providers, against real servers on this machine that speak their protocols."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from chat_stub import ChatStub, Drop, Hang, Move, Say, Status, grade
from provider_stub import (
    ollama_says,
    serve_provider,
)

from serm.agents.panel import open_panel
from serm.core import FailureKind, Pair, Settings
from serm.core.errors import ConfigError, MissingDependencyError
from serm.storage.judgments import JudgmentStore

pytestmark = pytest.mark.skipif(find_spec("langchain") is None, reason="langchain is not installed")

SettingsWith = Callable[..., Settings]
PairsOf = Callable[..., list[Pair]]


@pytest.fixture
def openai(stub: ChatStub, monkeypatch: pytest.MonkeyPatch) -> ChatStub:
    """The stub where LangChain's own client of OpenAI's looks for it."""
    monkeypatch.setenv("OPENAI_BASE_URL", stub.url)
    monkeypatch.setenv("OPENAI_API_BASE", stub.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    return stub


def needs(package: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


# ----------------------------------------------------------------------------------------- OpenAI's protocol


def test_a_provider_s_model_grades_by_the_schema_and_its_tokens_are_priced(
    openai: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    prices = {"stub": {"input": 1, "output": 2}}
    settings = settings_with("langchain:openai:stub", llm={"prices": prices, "timeout": 5})
    with open_panel(settings) as panel:
        assert panel.names == ("stub",)
        assert panel.prove() == {"stub": ""}
        report = panel.judge("stub", pairs("a", "b"), store)
    body = openai.bodies[-1]
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["grade"] == {"type": "integer", "enum": [0, 1, 2, 3]}
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert (body["temperature"], body["seed"]) == (0.0, 7)
    assert 512 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert report.graded == 2
    assert report.cost == pytest.approx(2 * (100 * 1 + 10 * 2) / 1e6)
    (judgment,) = store.for_pair("q-a", "d-a")
    assert (judgment.grade, judgment.rationale, judgment.model) == (2, "because", "stub")


@pytest.mark.parametrize(
    "case",
    [
        (Status(500), FailureKind.SERVER, 3),
        (Status(429), FailureKind.RATE_LIMITED, 3),
        (Status(401), FailureKind.REFUSED, 1),
        (Status(404), FailureKind.REFUSED, 1),
        (Status(400, "This model's maximum context length is 8192 tokens"), FailureKind.TOO_LONG, 1),
        (Say("I would say 2."), FailureKind.UNPARSABLE, 3),
        (grade(7), FailureKind.OUT_OF_RANGE, 1),
        (Drop(), FailureKind.SERVER, 3),
        (Hang(), FailureKind.TIMEOUT, 3),
    ],
)
def test_its_failures_have_their_kinds_and_there_is_one_retry_layer(
    openai: ChatStub,
    store: JudgmentStore,
    settings_with: SettingsWith,
    pairs: PairsOf,
    case: tuple[Move, FailureKind, int],
) -> None:
    move, kind, requests = case
    openai.play = lambda body, times: move if "[bad]" in body["messages"][-1]["content"] else grade(1)
    settings = settings_with(
        "langchain:openai:stub", llm={"retries": 2, "timeout": 1.0 if kind is FailureKind.TIMEOUT else 20}
    )
    with open_panel(settings) as panel:
        panel.judge("stub", pairs("good"), store)
        report = panel.judge("stub", pairs("bad", "good"), store)
    assert dict(report.failures) == {kind.value: 1}
    assert openai.asked("[bad]", least=requests) == requests
    (judgment,) = store.for_pair("q-good", "d-good")
    assert judgment.grade == 1


def test_a_provider_s_retry_after_is_waited_for(
    openai: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    openai.play = lambda body, times: grade(0) if times else Status(429, headers={"Retry-After": "0.4"})
    with open_panel(settings_with("langchain:openai:stub", llm={"timeout": 5})) as panel:
        assert panel.judge("stub", pairs("a"), store).graded == 1
    assert openai.times[1] - openai.times[0] >= 0.4


@pytest.mark.parametrize("backend", ["langchain:openai:stub", "URL#stub"])
def test_a_model_that_refuses_a_temperature_is_asked_without_from_then_on(
    openai: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf, backend: str
) -> None:
    refusal = Status(400, "Unsupported value: 'temperature' does not support 0 with this model.")
    openai.play = lambda body, times: refusal if "temperature" in body else grade(1)
    settings = settings_with(backend.replace("URL", openai.url), llm={"timeout": 5, "concurrency": 1})
    with open_panel(settings) as panel:
        assert panel.judge("stub", pairs("a", "b"), store).graded == 2
    assert ["temperature" in body for body in openai.bodies] == [True, False, False]
    assert all("seed" in body for body in openai.bodies)


@pytest.mark.parametrize("text", ["", '{"grade": 2, "rea'])
def test_an_answer_that_was_cut_off_says_so_and_is_asked_once_at_temperature_0(
    openai: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf, text: str
) -> None:
    openai.play = lambda body, times: Say(text, finish="length")
    settings = settings_with("langchain:openai:stub", llm={"timeout": 5, "retries": 3})
    with open_panel(settings) as panel:
        panel.judge("stub", pairs("a"), store)
    (judgment,) = store.for_pair("q-a", "d-a")
    assert judgment.failure is not None
    assert judgment.failure.kind is FailureKind.UNPARSABLE
    assert judgment.failure.message.startswith("cut off at `llm.max_tokens` = 512 tokens")
    assert len(openai.bodies) == 1


def test_panels_may_come_and_go(
    openai: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    """Its package keeps connections over the life of a process, and each panel has a loop of its own."""
    for word in ("a", "b", "c"):
        with open_panel(settings_with("langchain:openai:stub", llm={"timeout": 5, "retries": 0})) as panel:
            assert panel.judge("stub", pairs(word), store).graded == 1


# ----------------------------------------------------------------------------------------- Ollama's protocol


def test_an_ollama_is_held_to_the_schema_and_gives_log_probabilities(
    store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("langchain_ollama")
    likely = {"2": math.log(0.6), "1": math.log(0.2), "x": math.log(0.2)}
    with serve_provider(lambda *_: ollama_says('{"grade": 2}', likely)) as server:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        settings = settings_with({"backend": "ollama:qwen3:8b", "prompt": "grade_only"}, llm={"timeout": 5})
        with open_panel(settings) as panel:
            report = panel.judge("qwen3:8b", pairs("a"), store)
    body = server.bodies[-1]
    assert server.paths[-1] == "/api/chat"
    assert body["model"] == "qwen3:8b"
    assert body["format"]["properties"]["grade"]["enum"] == [0, 1, 2, 3]
    assert (body["options"]["temperature"], body["options"]["seed"]) == (0.0, 7)
    assert body["options"]["num_predict"] == 512
    assert (report.graded, report.tokens_in, report.tokens_out) == (1, 80, 8)
    (judgment,) = store.for_pair("q-a", "d-a")
    assert judgment.grade == 2
    assert judgment.distribution == pytest.approx((0, 0.25, 0.75, 0))
    assert judgment.outside == pytest.approx(0.2)


def test_an_ollama_without_the_model_is_a_judge_that_was_refused(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("langchain_ollama")
    with serve_provider(lambda *_: (404, {"error": "model 'qwen3' not found"})) as server:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        with open_panel(settings_with("ollama:qwen3", llm={"timeout": 5})) as panel:
            assert "model 'qwen3' not found" in panel.prove()["qwen3"]
    assert len(server.bodies) == 1


# -------------------------------------------------------------------------------------------- what is missing


def test_a_provider_whose_package_is_missing_is_named_with_the_line_that_installs_it(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("langchain_mistralai") is not None:
        pytest.skip("langchain-mistralai is installed")
    with pytest.raises(MissingDependencyError) as error:
        open_panel(settings_with("mistralai:mistral-small"))
    assert error.value.remedy == "pip install langchain-mistralai"


def test_without_langchain_the_extra_is_named(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "langchain.chat_models", None)
    with pytest.raises(MissingDependencyError) as error:
        open_panel(settings_with("ollama:qwen3"))
    assert error.value.remedy == "pip install langchain"


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        ("langchain:nobody:model", "Unsupported"),
        ("langchain:openai:gpt-4o", "OPENAI_API_KEY"),
    ],
)
def test_a_provider_that_refuses_its_settings_is_a_config_error(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch, backend: str, says: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=says):
        open_panel(settings_with(backend))


def test_a_budget_needs_a_price_for_a_provider_that_is_paid(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant")
    with pytest.raises(ConfigError, match="no price for `claude-x`"):
        open_panel(settings_with("anthropic:claude-x", budget={"currency": 5}))
