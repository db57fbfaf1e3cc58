"""Which models need a price under a budget: the same for judges and for agents."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest
from vllm_bench import Bench

from serm.agents.panel import open_panel
from serm.agents.policy import ChatPolicy, decider
from serm.core import Settings
from serm.core.errors import ConfigError
from serm.llm.prices import is_free, stated_price
from serm.llm.spec import parse_backend

SettingsWith = Callable[..., Settings]
BUDGET = {"currency": 5}
FREE = (
    "http://h/v1#m",
    "vllm:m",
    "ollama:qwen3",
    "langchain:ollama:qwen3",
    "huggingface:m",
    "scripted:t.yaml",
)
PAID = ("openai:gpt-4o", "anthropic:claude-x", "langchain:openai:gpt-4o", "langchain:new_one:m")


@pytest.mark.parametrize("backend", FREE)
def test_a_model_on_one_s_own_machines_is_free(settings_with: SettingsWith, backend: str) -> None:
    spec = parse_backend(backend)
    assert is_free(spec)
    assert stated_price(settings_with(budget=BUDGET), spec, spec.model, key="judges") is None


@pytest.mark.parametrize("backend", PAID)
def test_others_need_a_price_under_a_budget_as_judges_and_for_agents(
    settings_with: SettingsWith, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    spec = parse_backend(backend)
    assert not is_free(spec)
    with pytest.raises(ConfigError, match=rf"no price for `{spec.model}` \(`judges`\)"):
        open_panel(settings_with(backend, budget=BUDGET))
    with pytest.raises(ConfigError, match=rf"no price for `{spec.model}` \(`agents.llm`\)") as error:
        decider(settings_with(agents={"llm": backend}, budget=BUDGET), "drift")
    assert "`llm.prices`" in error.value.remedy


@pytest.mark.parametrize("name", ["gpt-4o", "openai:gpt-4o"])
def test_a_price_may_be_stated_by_the_model_or_by_the_string(
    settings_with: SettingsWith, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk")
    llm = {"prices": {name: {"input": 1, "output": 2}}}
    decide = decider(settings_with(agents={"llm": "openai:gpt-4o"}, budget=BUDGET, llm=llm), "drift")
    assert isinstance(decide, ChatPolicy)


def test_ollama_decides_for_agents_under_a_budget_without_a_price(settings_with: SettingsWith) -> None:
    if find_spec("langchain_ollama") is None:
        pytest.skip("langchain_ollama is not installed")
    decide = decider(settings_with(agents={"llm": "ollama:qwen3"}, budget=BUDGET), "drift")
    assert isinstance(decide, ChatPolicy)
    assert decide.label == "ollama:qwen3"


def test_a_model_in_this_process_decides_for_agents_under_a_budget_without_a_price(
    settings_with: SettingsWith, bench: Bench
) -> None:
    decide = decider(settings_with(agents={"llm": "vllm:m"}, budget=BUDGET), "drift")
    assert isinstance(decide, ChatPolicy)
    assert decide.label == "vllm:m"


@pytest.mark.parametrize("backend", ["simulated:", "replay:j.csv#a", "model:champion"])
def test_what_calls_no_tools_is_refused_for_that_not_for_its_price(
    settings_with: SettingsWith, backend: str
) -> None:
    with pytest.raises(ConfigError, match="cannot decide for an agent: it calls no tools"):
        decider(settings_with(agents={"llm": backend}, budget=BUDGET), "drift")
