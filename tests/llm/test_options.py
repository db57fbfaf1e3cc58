"""Further parts of a judge's requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_stub import ChatStub

from serm.agents.panel import open_panel
from serm.core import Pair, Settings
from serm.core.errors import ConfigError, WorkspaceMismatchError
from serm.core.hashing import digest
from serm.core.settings_loop import LlmSettings
from serm.llm.base import cache_key
from serm.llm.openai_compatible import ChatClient
from serm.llm.spec import parse_backend
from serm.storage.binding import bind
from serm.storage.judgments import JudgmentStore

SettingsWith = Callable[..., Settings]
PairsOf = Callable[..., list[Pair]]
THINKING = {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": False}}


def test_options_are_parts_of_each_request_of_their_judge_as_they_are(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    judge = {"backend": f"{stub.url}#m", "name": "thinks", "options": THINKING}
    with open_panel(settings_with(judge, f"{stub.url}#m", agreement={"paths": 2})) as panel:
        panel.judge("thinks", pairs("a"), store)
        asked = len(stub.bodies)
        panel.judge("m", pairs("a"), store)
    assert all({name: body[name] for name in THINKING} == THINKING for body in stub.bodies[:asked])
    assert not any(THINKING.keys() & body.keys() for body in stub.bodies[asked:])
    assert {body["model"] for body in stub.bodies} == {"m"}


def test_another_option_is_another_judge_and_the_same_is_the_same(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    def judged(**judge: Any) -> int:
        before = len(stub.bodies)
        with open_panel(settings_with({"backend": f"{stub.url}#m", **judge})) as panel:
            panel.judge("m", pairs("a"), store)
        return len(stub.bodies) - before

    assert judged() == 1
    assert judged(options={}) == 0, "none are none"
    assert judged(options={"reasoning_effort": "low"}) == 1
    assert judged(options={"reasoning_effort": "low"}) == 0
    assert judged(options={"reasoning_effort": "high"}) == 1


def test_without_options_a_judgment_is_found_under_the_key_it_had_before_there_were_any(
    settings_with: SettingsWith, pairs: PairsOf
) -> None:
    (pair,) = pairs("a")
    with open_panel(settings_with("http://127.0.0.1:9/v1#m")) as panel:
        judge = panel.members["m"].judge
        numbers = {"temperature": 0.0, "path_temperature": 0.7, "max_tokens": 512, "seed": 7}
        texts = [pair.query_id, pair.doc_id, pair.query, pair.title, pair.text]
        parts = ["m", "m", "", judge.prompt_hash, {**numbers, "logprobs": True}, 1, texts]
        assert cache_key(judge, pair, 1) == digest(parts)
    client = ChatClient(parse_backend("http://127.0.0.1:9/v1#m"), LlmSettings(), options={})
    assert set(client.sampling) == {"temperature", "path_temperature", "max_tokens", "seed"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("model", "the backend's string names the model"),
        ("messages", "the prompt makes them"),
        ("stream", "answers are read whole"),
        ("n", "`agreement.paths`"),
        ("temperature", "`llm.temperature`"),
        ("seed", "`random_seed`"),
        ("max_tokens", "`llm.max_tokens`"),
        ("max_completion_tokens", "`llm.max_tokens`"),
        ("response_format", "the prompt's `fields`"),
        ("tools", "`knowledge`"),
        ("logprobs", "`logprobs` of the judge"),
        ("extra_body", "side by side under `options`"),
    ],
)
def test_what_serm_sets_itself_is_no_option(settings_with: SettingsWith, name: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings_with({"backend": "openai:m", "options": {"reasoning_effort": "low", name: 1}})
    assert "judges.0.options" in str(error.value)
    assert f"`{name}` is no option: " in str(error.value)
    assert says in str(error.value)


def test_a_number_that_json_has_not_is_no_option(settings_with: SettingsWith) -> None:
    with pytest.raises(ConfigError, match=r"options\.top_p.*should be a finite number"):
        settings_with({"backend": "openai:m", "options": {"top_p": float("nan")}})


@pytest.mark.parametrize(
    "backend",
    [
        "simulated:",
        "replay:j.csv#a",
        "scripted:t.yaml",
        "model:champion",
        "vllm:Qwen/Qwen3-8B",
        "anthropic:claude-x",
    ],
)
def test_a_judge_whose_requests_are_not_serm_s_takes_no_options(
    settings_with: SettingsWith, backend: str
) -> None:
    with pytest.raises(ConfigError, match=r"`judges.options` is for models of `openai:`") as error:
        open_panel(settings_with({"backend": backend, "options": {"top_p": 0.5}}), {})
    assert backend in error.value.message
    assert error.value.remedy


def test_a_workspace_from_before_there_were_options_goes_on_and_another_option_is_another_config(
    settings_with: SettingsWith, tmp_path: Path
) -> None:
    def settings(**judge: Any) -> Settings:
        return settings_with({"backend": "http://h/v1#m", **judge}, agents={"llm": "http://h/v1#m"})

    file = tmp_path / "config.json"
    bind(file, settings())
    before = file.read_text()
    identity = json.loads(before)["identity"]
    assert not {"options", "api_key_env"} & identity["judges"][0].keys(), "as it was written then"
    assert "api_key_env" not in identity["agents"]
    bind(file, settings(options={}, api_key_env="GATEWAY"))
    assert file.read_text() == before
    with pytest.raises(WorkspaceMismatchError, match=r"options.top_p: not set in the workspace, 0.5"):
        bind(file, settings(options={"top_p": 0.5}))
