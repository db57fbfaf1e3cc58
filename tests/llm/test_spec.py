"""Backend strings, and who may be what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from serm.agents.panel import open_panel
from serm.core import Settings
from serm.core.errors import ConfigError
from serm.llm.spec import parse_backend

SettingsWith = Callable[..., Settings]


@pytest.mark.parametrize(
    ("text", "kind", "target", "model", "name"),
    [
        ("openai:gpt-4o", "openai", "", "gpt-4o", "gpt-4o"),
        ("http://h:8000/v1#Qwen/Qwen3-8B", "http", "http://h:8000/v1", "Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("https://h/v1/#m", "http", "https://h/v1", "m", "m"),
        ("replay:a/b.parquet#gpt-4o", "replay", "a/b.parquet", "gpt-4o", "gpt-4o"),
        ("replay:C:/a#b.parquet#judge", "replay", "C:/a#b.parquet", "judge", "judge"),
        ("scripted:turns.yaml", "scripted", "turns.yaml", "", "turns.yaml"),
        ("anthropic:claude-x-1", "langchain", "anthropic", "claude-x-1", "claude-x-1"),
        ("bedrock:a.b-v1:0", "langchain", "bedrock", "a.b-v1:0", "a.b-v1:0"),
        ("langchain:new_one:model:7b", "langchain", "new_one", "model:7b", "model:7b"),
        ("simulated:accuracy=0.9#anna", "simulated", "", "anna", "anna"),
    ],
)
def test_a_backend_is_taken_apart(text: str, kind: str, target: str, model: str, name: str) -> None:
    spec = parse_backend(text)
    assert (spec.kind, spec.target, spec.model, spec.name) == (kind, target, model, name)


def test_a_simulated_judge_has_the_protocol_s_defaults() -> None:
    stated = {"accuracy": 0.85, "shared": 0.5, "seed": 7, "path": 0}
    assert dict(parse_backend("simulated:").params) == stated
    given = parse_backend("simulated:accuracy=0.7, shared=0,seed=3").params
    assert dict(given) == stated | {"accuracy": 0.7, "shared": 0, "seed": 3}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gpt-4o", "names no LLM backend"),
        ("claude:x", "replay:judgments.parquet#judge"),
        ("openai:", "names no model"),
        ("ollama:", "names no model"),
        ("langchain:anthropic", "does not name a provider and its model"),
        ("http://host:8000/v1", "does not name a server and its model"),
        ("replay:file.parquet", "does not name a file and a judge"),
        ("scripted:", "names no file"),
        ("simulated:acuracy=0.8", "says nothing of a simulated judge"),
        ("simulated:accuracy=good", "is no number"),
        ("simulated:accuracy=85", "from 0 to 1"),
    ],
)
def test_a_string_that_is_no_backend_is_refused_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_backend(text)
    assert says in str(error.value)


def test_two_judges_of_one_name_are_refused(settings_with: SettingsWith) -> None:
    judge = {"backend": "simulated:", "name": "anna"}
    with pytest.raises(ConfigError, match="two judges are called `anna`"):
        open_panel(settings_with(judge, judge), {})


def test_a_panel_without_judges_is_refused(settings_with: SettingsWith) -> None:
    with pytest.raises(ConfigError, match="names no judge"):
        open_panel(settings_with())


def test_a_judge_without_a_name_is_called_by_its_model_else_by_its_file_or_kind_and_its_place(
    settings_with: SettingsWith, tmp_path: Path
) -> None:
    (tmp_path / "turns.yaml").write_text("turns: ['{\"grade\": 2}']")
    judges = ("http://h/v1#Qwen/Qwen3-8B", "scripted:turns.yaml", "scripted:turns.yaml#anna", "simulated:")
    with open_panel(settings_with(*judges), {}) as panel:
        assert panel.names == ("Qwen/Qwen3-8B", "turns.yaml-2", "anna", "simulated-4")
