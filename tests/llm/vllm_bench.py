"""A stand-in for vLLM that tests can look into, and judges whose model it runs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from serm.core import Pair, Settings
from serm.core.settings_loop import LlmSettings, Price
from serm.llm.asking import Token
from serm.llm.budget import Budget
from serm.llm.engine import Said, Wish
from serm.llm.parse import parse_grade
from serm.llm.vllm_asker import VllmAsker
from serm.llm.vllm_engine import Engines

SettingsWith = Callable[..., Settings]
PairsOf = Callable[..., list[Pair]]
Play = Callable[[Wish, int], "str | Exception"]
SCHEMA = {"type": "object", "properties": {"grade": {"type": "integer", "enum": [0, 1, 2, 3]}}}
MESSAGES = [{"role": "user", "content": "[word]"}]


def word(wish: Wish) -> str:
    return str(wish.messages[-1]["content"]).rpartition("[")[2].rstrip("]")


class FakeCore:
    """Says what `play` says of a wish and how often its word was asked about; holds answers back until as
    many as `together` are being asked for."""

    def __init__(self, play: Play, *, sleeps: bool = True, together: int = 1) -> None:
        self.sleeps, self.play, self.together = sleeps, play, together
        self.wishes: list[Wish] = []
        self.story: list[str] = []
        self.most = self._now = 0
        self._times: dict[str, int] = {}
        self.threads: set[str] = set()

    async def generate(self, wish: Wish) -> Said:
        self.threads.add(threading.current_thread().name)
        self.wishes.append(wish)
        self._now += 1
        self.most = max(self.most, self._now)
        async with asyncio.timeout(10):
            while self.most < self.together:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.001 * (len(self.wishes) % 3))  # ends come in another order than beginnings
        self._now -= 1
        times = self._times[word(wish)] = self._times.get(word(wish), -1) + 1
        text = self.play(wish, times)
        if isinstance(text, Exception):
            raise text
        tokens = (Token(text, ((text, -0.1),)),) if wish.watched else ()
        return Said(text, 100, 10, cut=not text.endswith("}"), tokens=tokens)

    async def sleep(self) -> None:
        self.story.append("sleep")

    async def wake(self) -> None:
        self.story.append("wake")

    def shut_down(self) -> None:
        self.story.append("down")


class Bench:
    """Engines over fake cores, and what was loaded."""

    def __init__(self) -> None:
        self.play: Play = lambda wish, times: answer(2)
        self.sleeps, self.together = True, 1
        self.loaded: list[tuple[str, Mapping[str, object]]] = []
        self.cores: list[FakeCore] = []
        self.engines = Engines(self._start)

    def _start(self, model: str, arguments: Mapping[str, object]) -> FakeCore:
        self.loaded.append((model, dict(arguments)))
        self.cores.append(FakeCore(self._say, sleeps=self.sleeps, together=self.together))
        return self.cores[-1]

    def _say(self, wish: Wish, times: int) -> str | Exception:
        return self.play(wish, times)

    def asker(self, model: str = "m", *, budget: Budget | None = None, **llm: Any) -> VllmAsker:
        price = Price(input=1_000_000, output=1_000_000) if budget else None
        settings = LlmSettings(**llm)
        return VllmAsker(model, settings, seed=7, price=price, budget=budget, engines=self.engines)

    @property
    def core(self) -> FakeCore:
        return self.cores[-1]


def answer(grade: int) -> str:
    return json.dumps({"grade": grade, "reason": f"said {grade}"})


def ask(asker: VllmAsker, *, path: int = 0, logprobs: bool = False) -> Any:
    async def once() -> Any:
        try:
            return await asker.ask(MESSAGES, parse_grade, schema=SCHEMA, path=path, logprobs=logprobs)
        finally:
            await asker.close()

    return asyncio.run(once())
