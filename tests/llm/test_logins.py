"""A login in a server's URL opens the door, and is seen by nobody else."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from chat_stub import ChatStub, Raw, Status, grade
from mining_desks import make_desk
from small_world import world

from serm.agents.miners import mine_with
from serm.agents.panel import open_panel
from serm.agents.policy import ChatPolicy, decider
from serm.core import Settings
from serm.core.errors import ConfigError
from serm.core.settings_loop import LlmSettings
from serm.graphs import evolve
from serm.graphs.forecast import forecast
from serm.graphs.resources import Resources
from serm.llm.openai_compatible import ChatClient
from serm.llm.spec import parse_backend
from serm.storage.trace import Tracer, read_spans

PASSWORD = "s3/cret@pw"
BASIC = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
HIDDEN = ("s3%2Fcret%40pw", "s3/cret", BASIC.removeprefix("Basic "), "me:")


def with_login(url: str) -> str:
    return url.replace("http://", "http://me:s3%2Fcret%40pw@")


def told(text: str) -> bool:
    return any(secret in text for secret in HIDDEN)


def ask(url: str, **llm: Any) -> Any:
    async def main() -> Any:
        client = ChatClient(parse_backend(url), LlmSettings(retries=0, **llm))
        try:
            return await client.ask(
                [{"role": "user", "content": "Grade it."}], lambda text: text, schema={}, path=0
            )
        finally:
            await client.close()

    return asyncio.run(main())


def test_a_judge_s_login_is_sent_and_not_logged(
    stub: ChatStub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    with caplog.at_level(logging.DEBUG):
        assert ask(f"{with_login(stub.url)}#qwen").failure is None
    assert stub.keys == [BASIC], "the login, not the key"
    assert stub.url in caplog.text
    assert not told(caplog.text)


def test_a_backend_is_called_by_its_url_without_the_login(stub: ChatStub) -> None:
    spec = parse_backend(f"{with_login(stub.url)}#qwen")
    assert (spec.text, spec.target, spec.model) == (f"{stub.url}#qwen", stub.url, "qwen")
    assert not told(repr(spec))


def test_what_a_server_says_is_kept_without_login_and_key(
    stub: ChatStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    echo = f"no entry at {with_login(stub.url)} with sk-0123456789"
    for move in (Status(401, echo), Raw(echo.encode())):
        stub.play = lambda body, times, move=move: move  # type: ignore[misc]
        message = ask(f"{with_login(stub.url)}#qwen").failure.message
        assert f"no entry at {stub.url}" in message
        assert "***" in message
        assert not told(message)
        assert "sk-0123456789" not in message


def test_an_agent_s_login_is_sent_and_its_trace_names_the_model_without_it(
    stub: ChatStub, settings_with: Callable[..., Settings], tmp_path: Path
) -> None:
    url = f"{with_login(stub.url)}#qwen"
    stub.play = lambda body, times: Status(401, f"no entry at {with_login(stub.url)}")
    settings = settings_with(agents={"policy": "llm", "llm": url})
    decide = decider(settings, "uncertainty")
    assert isinstance(decide, ChatPolicy)
    assert decide.label == f"{stub.url}#qwen"
    tracer = Tracer(tmp_path / "traces.sqlite", "t")
    with tracer.active():
        mine_with("uncertainty", make_desk(), decide, 20, max_steps=6)
    tracer.close()
    spans = read_spans(tmp_path / "traces.sqlite", "t")
    assert stub.keys[0] == BASIC
    assert f"{stub.url}#qwen" in {item.name for item in spans}
    assert not told(json.dumps([asdict(item) for item in spans]))


def test_no_file_of_a_run_holds_a_login(stub: ChatStub, tmp_path: Path, tiny_encoder: Path) -> None:
    stub.play = lambda body, times: Status(400, "no tools") if body.get("tools") else grade(2)
    url = with_login(stub.url)
    config = world(
        tmp_path,
        tiny_encoder,
        judges=[f"{url}#small", f"{url}#large"],
        agents={"policy": "llm", "llm": f"{url}#qwen", "max_steps": 2},
        llm={"shard": 15, "retries": 0},
        tracing={"sample": 1.0},
    )
    report = evolve(Settings.from_mapping(config, folder=tmp_path, environment={}), rounds=1).rounds[1]
    assert report["counts"]["labelled"] > 0
    assert set(stub.keys) == {BASIC}
    written = [file for file in tmp_path.rglob("*") if file.is_file() and encoder_free(file)]
    assert any(file.name == "traces.sqlite" for file in written)
    assert any(file.name == "plan.json" for file in written)
    for file in written:
        content = file.read_bytes()
        assert not any(secret.encode() in content for secret in HIDDEN[:3]), file


def encoder_free(file: Path) -> bool:
    return file.suffix not in (".safetensors", ".npy")


@pytest.mark.parametrize(
    "text",
    [
        "http://me:s3cret@h:80a/v1#m",
        "http://me:s3/cret@h/v1#m",
        "http://me:s3#cret@h/v1#m",
        "http://me:s3cret@/v1#m",
        "http://[::1/v1#m",
        "htp://me:s3cret@h/v1#m",
        "http://me:s3cret@h/v1",
    ],
)
def test_a_url_that_is_none_is_refused_without_telling_the_password(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_backend(text)
    assert raised.value.remedy
    assert "s3" not in str(raised.value)
    assert "cret" not in str(raised.value)


def test_a_plan_names_its_judges_without_their_logins(tmp_path: Path, tiny_encoder: Path) -> None:
    judges = ["http://me:s3cret@h/v1#qwen", "simulated:#sim"]
    config = world(tmp_path, tiny_encoder, judges=judges)
    with Resources(Settings.from_mapping(config, folder=tmp_path, environment={})) as resources:
        found = forecast(resources, 1, (0.01,), lambda texts: [len(text) for text in texts])
    assert [judge.backend for judge in found.judges] == ["http://h/v1#qwen", "simulated:#sim"]


def test_a_judge_that_cannot_be_is_named_without_its_login(settings_with: Callable[..., Settings]) -> None:
    judge = {"backend": "http://me:s3cret@h/v1#m", "grades": {0: 9}}
    with pytest.raises(ConfigError, match="judge `http://h/v1#m`: its `grades` map leads to 9"):
        open_panel(settings_with(judge))
