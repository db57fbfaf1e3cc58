from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_clients import Use
from chat_stub import ChatStub, serve
from vllm_bench import Bench, SettingsWith

from serm.agents import panel as panels
from serm.agents.panel import Panel, open_panel
from serm.core import Pair, Settings
from serm.core.settings_loop import LlmSettings, Price
from serm.llm import retry, vllm_asker
from serm.llm.budget import Budget
from serm.llm.openai_compatible import ChatClient
from serm.llm.spec import parse_backend
from serm.storage.judgments import JudgmentStore


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatStub]:
    """A chat server on this machine. Retries do not wait long."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve() as server:
        yield server


@pytest.fixture
def use(stub: ChatStub) -> Use:
    """Run this over a client of the stub, which is patient and retries once."""

    def run(
        work: Callable[[ChatClient], Awaitable[Any]],
        *,
        price: Price | None = None,
        budget: Budget | None = None,
        **llm: Any,
    ) -> Any:
        async def main() -> Any:
            settings = LlmSettings(**{"timeout": 20.0, "retries": 1, "max_tokens": 16, **llm})
            client = ChatClient(parse_backend(f"{stub.url}#stub"), settings, price=price, budget=budget)
            try:
                return await work(client)
            finally:
                await client.close()

        return asyncio.run(main())

    return run


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JudgmentStore]:
    with JudgmentStore(f"sqlite:///{tmp_path / 'judgments.sqlite'}") as opened:
        yield opened


@pytest.fixture
def settings_with(tmp_path: Path) -> Callable[..., Settings]:
    """Settings with these judges, patient for long, as tests share a machine, and one retry."""

    def make(*judges: object, **sections: Any) -> Settings:
        llm = {"timeout": 20.0, "retries": 1, "concurrency": 4, **sections.pop("llm", {})}
        values = {"data": {"sources": [{"pairs": "pairs.parquet"}]}, "judges": list(judges), "llm": llm}
        return Settings.from_mapping({**values, **sections}, folder=tmp_path, environment={})

    return make


@pytest.fixture
def pairs() -> Callable[..., list[Pair]]:
    """One pair for each word, which its document holds."""

    def make(*words: str) -> list[Pair]:
        return [Pair(f"q-{word}", f"d-{word}", "a query", f"[{word}]") for word in words]

    return make


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench()
    monkeypatch.setattr(vllm_asker, "find_spec", lambda name: object())
    monkeypatch.setattr(vllm_asker, "ENGINES", made.engines)
    monkeypatch.setattr(panels, "ENGINES", made.engines)
    yield made
    made.engines.shut_down()


@pytest.fixture
def panel_with(bench: Bench, settings_with: SettingsWith) -> Callable[..., Panel]:
    def make(*judges: Any, **sections: Any) -> Panel:
        return open_panel(settings_with(*(judges or ("vllm:m",)), **sections))

    return make
