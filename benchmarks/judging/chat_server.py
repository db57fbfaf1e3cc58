"""A chat server in a process of its own, which answers at once, well or badly: to measure judging against.

    python -m serm.benchmarks.judging.chat_server --faults 0.2

It prints its URL and serves until its standard input is closed, so that it ends with whoever started it. A
pair is known by the word `pair-NUMBER` in its document. What is played for it is a hash of its name and of
how often it was asked: the same in every run. `GET /asked` tells what was played for each pair, `GET /seen`
for how many.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from aiohttp import web

from serm.core.hashing import unit_interval

GOOD: Final = "good"
TRIAL: Final = "trial"
"""The name under which requests that are about no pair are counted; they are answered well."""
FAULTS: Final = ("429", "500", "hang", "cut-off", "wrong schema", "prose")
_NAME: Final = re.compile(rb"pair-\d+")


def truth(name: str) -> int:
    """The grade that a good answer gives to a pair."""
    return int(unit_interval("grade", name) * 4)


def played(name: str, times: int, faults: float) -> str:
    """What is played for a pair that was asked `times` times before: GOOD, or one of FAULTS in so many of
    all calls."""
    draw = unit_interval("fault", name, times)
    return GOOD if draw >= faults else FAULTS[int(draw / faults * len(FAULTS))]


@contextmanager
def serving(faults: float = 0.0, hang: float = 30.0) -> Iterator[str]:
    """The base URL of such a server; `hang` are the seconds after which a hanging call ends."""
    command = [sys.executable, "-m", __name__, "--faults", str(faults), "--hang", str(hang)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def asked(url: str) -> dict[str, list[str]]:
    """What a server has played for each pair so far."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/asked") as answer:
        plays: dict[str, list[str]] = json.load(answer)
        return plays


def seen(url: str) -> int:
    """How many pairs a server was asked for so far."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/seen") as answer:
        return int(answer.read())


class ChatServer:
    """Plays for pairs, and remembers what."""

    def __init__(self, faults: float, hang: float) -> None:
        self._faults, self._hang = faults, hang
        self._asked: dict[str, list[str]] = {}
        self._instant = _completion('{"grade": 2, "reason": "It answers the query."}')

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_get("/asked", self._tell_asked)
        app.router.add_get("/seen", self._tell_seen)
        return app

    async def _tell_asked(self, _: web.Request) -> web.Response:
        return web.json_response(self._asked)

    async def _tell_seen(self, _: web.Request) -> web.Response:
        return web.json_response(len(self._asked))

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not self._faults:
            return web.Response(body=self._instant, content_type="application/json")
        names = _NAME.findall(body)
        if not names:  # by this a judge proves after several failures that it is still there
            self._asked.setdefault(TRIAL, []).append(GOOD)
            return web.Response(body=self._instant, content_type="application/json")
        name = names[-1].decode()
        plays = self._asked.setdefault(name, [])
        plays.append(played(name, len(plays), self._faults))
        return await self._play(plays[-1], name)

    async def _play(self, what: str, name: str) -> web.Response:
        good = json.dumps({"grade": truth(name), "reason": f"This is {name}."})
        if what == "429":
            return web.json_response({"error": {"message": "slow down"}}, status=429, headers=_SOON)
        if what == "500":
            return web.json_response({"error": {"message": "overloaded"}}, status=500)
        if what == "hang":
            await asyncio.sleep(self._hang)
        texts = {
            "cut-off": good[: len(good) // 2],
            "wrong schema": json.dumps({"score": str(truth(name))}),
            "prose": f"I would say that {name} deserves a {truth(name)}.",
        }
        return web.Response(body=_completion(texts.get(what, good)), content_type="application/json")


_SOON: Final[Mapping[str, str]] = {"Retry-After": "0.02"}


def _completion(text: str) -> bytes:
    answer: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "stub",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 400, "completion_tokens": 15, "total_tokens": 415},
    }
    return json.dumps(answer).encode()


async def _serve(server: ChatServer) -> None:
    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=512)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=float, default=0.0)
    parser.add_argument("--hang", type=float, default=30.0)
    arguments = parser.parse_args()
    asyncio.run(_serve(ChatServer(arguments.faults, arguments.hang)))
