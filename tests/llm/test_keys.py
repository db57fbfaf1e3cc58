"""Which key goes to which server, and that it goes nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from chat_stub import ChatStub, Raw, Status, grade, serve
from mining_desks import make_desk

from serm.agents.miners import mine_with
from serm.agents.panel import open_panel
from serm.agents.policy import decider
from serm.core import Pair, Settings
from serm.core.errors import ConfigError
from serm.llm.base import cache_key
from serm.llm.keys import NO_KEY, OPENAI_KEY, api_key, key_variable
from serm.llm.spec import parse_backend
from serm.storage.judgments import JudgmentStore
from serm.storage.trace import Tracer, read_spans
from serm.storage.workspace import Workspace

SettingsWith = Callable[..., Settings]
PairsOf = Callable[..., list[Pair]]
OPENAIS, OURS = "sk-of-openai-0123", "of-the-gateway-4567"


@pytest.fixture(autouse=True)
def keys(stub: ChatStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OPENAI_KEY, OPENAIS)
    monkeypatch.setenv("GATEWAY", OURS)
    monkeypatch.setenv("ANOTHER", " of-another-8901\r\n")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def other() -> Iterator[ChatStub]:
    with serve() as server:
        yield server


def asked(settings: Settings, store: JudgmentStore, *pairs: Pair) -> None:
    with open_panel(settings) as panel:
        for name in panel.names:
            panel.judge(name, pairs, store)


def test_a_server_by_its_url_is_not_sent_the_key_of_openai(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    asked(settings_with(f"{stub.url}#stub"), store, *pairs("a"))
    assert stub.keys == [f"Bearer {NO_KEY}"]


def test_each_of_two_gateways_is_sent_its_own_key(
    stub: ChatStub, other: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    ours = {"backend": f"{stub.url}#m", "name": "ours", "api_key_env": "GATEWAY"}
    theirs = {"backend": f"{other.url}#m", "name": "theirs", "api_key_env": "ANOTHER"}
    asked(settings_with(ours, theirs), store, *pairs("a"))
    assert stub.keys == [f"Bearer {OURS}"]
    assert other.keys == ["Bearer of-another-8901"], "without the white space around it"


def test_openai_may_be_sent_the_key_of_another_variable(
    stub: ChatStub,
    store: JudgmentStore,
    settings_with: SettingsWith,
    pairs: PairsOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", stub.url)
    project = {"backend": "openai:gpt-4o", "name": "project", "api_key_env": "GATEWAY"}
    asked(settings_with("openai:gpt-4o", project), store, *pairs("a"))
    assert stub.keys == [f"Bearer {OPENAIS}", f"Bearer {OURS}"]


@pytest.mark.parametrize(
    ("backend", "variable"),
    [
        ("openai:gpt-4o", OPENAI_KEY),
        ("https://api.openai.com/v1#gpt-4o", OPENAI_KEY),
        ("https://api.openai.com:443/v1#gpt-4o", OPENAI_KEY),
        ("https://proxy.example:8443/other#m", OPENAI_KEY),
        ("http://api.openai.com/v1#gpt-4o", ""),
        ("http://proxy.example:8443/v1#m", ""),
        ("https://proxy.example/v1#m", ""),
        ("https://api.openai.com.example/v1#m", ""),
        ("https://api.openai.com@example.com/v1#m", ""),
        ("http://localhost:8000/v1#m", ""),
    ],
)
def test_openai_s_key_goes_to_openai_s_own_servers_alone(
    backend: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.example:8443/v1/")
    spec = parse_backend(backend)
    assert key_variable(spec) == variable
    assert api_key(spec) == (OPENAIS if variable else NO_KEY)


@pytest.mark.parametrize("url", ["", "https://[::1/v1", "https://h:99999/v1"])
def test_a_base_url_that_is_none_makes_no_server_openai_s(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    assert key_variable(parse_backend("https://h/v1#m")) == ""


def test_openai_without_a_key_is_a_config_error(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(OPENAI_KEY)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
        open_panel(settings_with("openai:gpt-4o"))


@pytest.mark.parametrize("value", [None, "", " \r\n"])
@pytest.mark.parametrize("backend", ["openai:gpt-4o", "http://127.0.0.1:9/v1#stub"])
def test_a_variable_that_is_named_and_not_set_is_an_error_before_any_call(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch, backend: str, value: str | None
) -> None:
    monkeypatch.delenv("GATEWAY") if value is None else monkeypatch.setenv("GATEWAY", value)
    judge = {"backend": backend, "api_key_env": "GATEWAY"}
    with pytest.raises(ConfigError, match="GATEWAY is not set") as error:
        open_panel(settings_with(judge))
    assert "Set GATEWAY" in error.value.remedy
    agents = {"llm": backend, "api_key_env": "GATEWAY"}
    with pytest.raises(ConfigError, match="GATEWAY is not set"):
        decider(settings_with(agents=agents), "drift")


@pytest.mark.parametrize("key", ["sk-clé", "sk-one\nsk-two", "sk-\x7f"])
@pytest.mark.parametrize(
    ("judge", "variable"),
    [
        ({"backend": "openai:gpt-4o"}, OPENAI_KEY),
        ({"backend": "http://127.0.0.1:9/v1#stub", "api_key_env": "GATEWAY"}, "GATEWAY"),
    ],
)
def test_a_key_that_no_request_can_bear_is_a_config_error_that_does_not_show_it(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch, key: str, judge: Any, variable: str
) -> None:
    monkeypatch.setenv(variable, key)
    with pytest.raises(ConfigError, match=f"{variable} holds a character") as error:
        open_panel(settings_with(judge))
    assert error.value.remedy
    assert "sk-" not in str(error.value)


def test_a_key_in_the_place_of_its_variable_is_refused_without_being_told(
    settings_with: SettingsWith,
) -> None:
    with pytest.raises(ConfigError, match="it is the name of a variable") as error:
        settings_with({"backend": "openai:gpt-4o", "api_key_env": "sk-proj-0123"})
    assert "sk-proj" not in str(error.value)


def test_a_login_and_a_key_are_one_too_many(settings_with: SettingsWith) -> None:
    judge = {"backend": "http://me:s3cret@h/v1#m", "api_key_env": "GATEWAY"}
    with pytest.raises(ConfigError, match="a request bears one") as error:
        open_panel(settings_with(judge))
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("backend", ["simulated:", "replay:j.csv#a", "scripted:t.yaml", "model:champion"])
def test_a_judge_that_sends_no_key_takes_none(settings_with: SettingsWith, backend: str) -> None:
    with pytest.raises(ConfigError, match=r"`judges.api_key_env` is for models of `openai:`") as error:
        open_panel(settings_with({"backend": backend, "api_key_env": "GATEWAY"}), {})
    assert "Leave it out" in error.value.remedy


def test_a_provider_s_package_reads_a_variable_of_its_own(settings_with: SettingsWith) -> None:
    with pytest.raises(ConfigError, match="`anthropic:claude-x` is neither") as error:
        open_panel(settings_with({"backend": "anthropic:claude-x", "api_key_env": "GATEWAY"}))
    assert "ANTHROPIC_API_KEY" in error.value.remedy
    agents = {"llm": "ollama:qwen3", "api_key_env": "GATEWAY"}
    with pytest.raises(ConfigError, match=r"`agents.api_key_env` is for models of `openai:`"):
        decider(settings_with(agents=agents), "drift")


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_wants_a_key_has_the_failure_say_where_it_is_named(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf, status: int
) -> None:
    stub.play = lambda body, times: Status(status, "who are you?")
    with open_panel(settings_with(f"{stub.url}#stub")) as panel:
        panel.judge("stub", pairs("a"), store)
        said = panel.prove()["stub"]
    (judgment,) = store.for_pair("q-a", "d-a")
    assert judgment.failure is not None
    hint = "It was sent no key: name the variable that holds its key in `api_key_env`."
    assert judgment.failure.message == f"HTTP {status}: who are you?. {hint}"
    assert hint in said


def test_a_gateway_s_error_of_status_200_says_so_too(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    stub.play = lambda body, times: Raw(b'{"error": {"message": "no key", "code": 401}}')
    asked(settings_with(f"{stub.url}#stub"), store, *pairs("a"))
    (judgment,) = store.for_pair("q-a", "d-a")
    assert judgment.failure is not None
    assert "`api_key_env`" in judgment.failure.message


def test_a_key_is_not_kept_whatever_its_variable_is_called(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    """Half a key that a message was cut in would be one, too."""
    moves = [Status(401, f"{'x' * 285} {OURS}"), Status(500, OURS), Raw(f"{'x' * 190} {OURS}".encode())]
    for place, move in enumerate(moves):
        stub.play = lambda body, times, move=move: move  # type: ignore[misc]
        judge = {"backend": f"{stub.url}#stub", "api_key_env": "GATEWAY"}
        asked(settings_with(judge, llm={"retries": 0}), store, *pairs(str(place)))
        (judgment,) = store.for_pair(f"q-{place}", f"d-{place}")
        assert judgment.failure is not None
        assert "of-the-g" not in judgment.failure.message
    assert set(stub.keys) == {f"Bearer {OURS}"}


def test_agents_have_a_key_of_their_own_and_no_trace_holds_it(
    stub: ChatStub, settings_with: SettingsWith, tmp_path: Path
) -> None:
    gateways = json.dumps({"error": {"message": f"no {OURS}"}}).encode()  # under status 200
    moves = iter([Status(500, f"no {OURS}"), Status(401, f"no {OURS}"), Raw(gateways)])
    stub.play = lambda body, times: next(moves)
    agents = {"policy": "llm", "llm": f"{stub.url}#stub", "api_key_env": "GATEWAY"}
    decide = decider(settings_with(agents=agents, llm={"retries": 0}), "uncertainty")
    names = ("t", "u", "v")
    for name in names:
        tracer = Tracer(tmp_path / "traces.sqlite", name)
        with tracer.active():
            mine_with("uncertainty", make_desk(), decide, 20, max_steps=6)
        tracer.close()
    assert stub.keys == [f"Bearer {OURS}"] * 3
    spans = [item for name in names for item in read_spans(tmp_path / "traces.sqlite", name)]
    told = json.dumps([asdict(item) for item in spans])
    assert OURS not in told
    assert "no ***" in told
    assert "HTTP 401: no ***. It was sent the key in GATEWAY (`api_key_env`)" in told
    assert OURS not in told


def test_agents_by_a_url_are_not_sent_the_key_of_openai(stub: ChatStub, settings_with: SettingsWith) -> None:
    stub.play = lambda body, times: Status(401)
    decide = decider(settings_with(agents={"llm": f"{stub.url}#stub"}), "uncertainty")
    mine_with("uncertainty", make_desk(), decide, 20, max_steps=6)
    assert set(stub.keys) == {f"Bearer {NO_KEY}"}


def test_the_variable_is_no_part_of_a_judgment_s_key_nor_of_what_a_workspace_is_bound_to(
    stub: ChatStub, settings_with: SettingsWith, pairs: PairsOf, tmp_path: Path
) -> None:
    stub.play = lambda body, times: grade(2)
    backend = f"{stub.url}#stub"
    plain = settings_with(backend, agents={"llm": backend}, workspace="work")
    keyed = settings_with(
        {"backend": backend, "api_key_env": "GATEWAY"},
        agents={"llm": backend, "api_key_env": "GATEWAY"},
        workspace="work",
    )
    assert keyed.fingerprint() == plain.fingerprint()
    Workspace.open(plain).close()
    Workspace.open(keyed).close()
    assert OURS not in (tmp_path / "work" / "config.json").read_text()
    (pair,) = pairs("a")
    with open_panel(plain) as one, open_panel(keyed) as other:
        found = [cache_key(panel.members["stub"].judge, pair, 1) for panel in (one, other)]
    assert found[0] == found[1]
