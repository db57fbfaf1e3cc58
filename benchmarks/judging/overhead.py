"""What serm costs around a server that answers at once: `python -m serm.benchmarks.judging.overhead`.

The server runs in a process of its own. Four clients ask it for the same judgments, so many in flight, one
after the other and again: a plain aiohttp client, a bare loop over `openai.AsyncOpenAI`, a bare loop over
LangChain's `ChatOpenAI`, and serm: `judge_shard` with the answers validated, looked up in the cache, written
durably to SQLite, and a share of the calls traced. Every pair is fresh to serm in every round. It prints
judgments a second by the clock and by the processor time of the client's process, which other work on the
machine disturbs less; ratios are medians of the rounds' own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from pydantic import SecretStr

from serm.agents.chat_judge import ChatJudge
from serm.agents.judge_shard import Manner, judge_shard
from serm.agents.prompt import read_prompt
from serm.benchmarks.judging.chat_server import serving
from serm.core.records import GRADES, Pair
from serm.core.settings_loop import LlmSettings
from serm.evals.tables import Cells, markdown
from serm.llm.openai_compatible import ChatClient
from serm.llm.parse import GradeReply, grade_schema, parse_grade
from serm.llm.spec import parse_backend
from serm.storage.judgments import JudgmentStore
from serm.storage.trace import Tracer

BASELINE: Final = "openai"
SAMPLE: Final = 0.01
"""Share of serm's calls that keep a span: the default of `tracing.sample`."""
PROMPT, SEED = "umbrela", 7
WORDS: Final = 100
"""Of a document: about a passage of MS MARCO."""
PER_QUERY: Final = 20


@dataclass(frozen=True)
class Work:
    """What every client is to do."""

    url: str
    pairs: Sequence[Pair]
    in_flight: int
    folder: Path  # a fresh one, for serm's databases


async def _aiohttp(work: Work) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(request: dict[str, Any]) -> None:
            async with session.post(f"{work.url}/chat/completions", json=request) as answer:
                _check(json.loads(await answer.read())["choices"][0]["message"]["content"])

        await _side_by_side(ask, work)


async def _openai(work: Work) -> None:
    async with AsyncOpenAI(api_key="none", base_url=work.url) as client:

        async def ask(request: dict[str, Any]) -> None:
            answer = await client.chat.completions.create(**request)
            _check(answer.choices[0].message.content or "")

        await _side_by_side(ask, work)


async def _langchain(work: Work) -> None:
    request = next(_requests(work.pairs))
    model = ChatOpenAI(
        model="stub",
        base_url=work.url,
        api_key=SecretStr("none"),
        temperature=request["temperature"],
        seed=request["seed"],
        max_completion_tokens=request["max_tokens"],
    ).bind(response_format=request["response_format"])

    async def ask(request: dict[str, Any]) -> None:
        _check(str((await model.ainvoke(request["messages"])).content))

    await _side_by_side(ask, work)


async def _serm(work: Work) -> None:
    client = ChatClient(parse_backend(f"{work.url}#stub"), LlmSettings(), seed=SEED)
    judge = ChatJudge("stub", client, read_prompt(PROMPT))
    tracer = Tracer(work.folder / "traces.sqlite", "overhead")
    with JudgmentStore(f"sqlite:///{work.folder / 'judgments.sqlite'}") as store, tracer.active():
        slots = asyncio.Semaphore(work.in_flight)
        report = await judge_shard(judge, work.pairs, store, slots=slots, manner=Manner(sample=SAMPLE))
        assert report.graded == len(work.pairs) == store.totals().judgments
    tracer.close()
    await judge.close()


CLIENTS: Final[dict[str, Callable[[Work], Awaitable[None]]]] = {
    "aiohttp": _aiohttp,
    "openai": _openai,
    "ChatOpenAI": _langchain,
    "serm": _serm,
}


def _requests(pairs: Iterable[Pair]) -> Iterator[dict[str, Any]]:
    """What serm sends for these pairs, as the others are to send it."""
    prompt = read_prompt(PROMPT)
    schema = {"name": "answer", "schema": grade_schema(prompt.fields, GRADES), "strict": True}
    for pair in pairs:
        yield {
            "model": "stub",
            "messages": prompt.messages(pair),
            "response_format": {"type": "json_schema", "json_schema": schema},
            "temperature": 0.0,
            "seed": SEED,
            "max_tokens": LlmSettings().max_tokens,
        }


async def _side_by_side(ask: Callable[[dict[str, Any]], Awaitable[None]], work: Work) -> None:
    requests = _requests(work.pairs)

    async def worker() -> None:
        for request in requests:
            await ask(request)

    await asyncio.gather(*(worker() for _ in range(work.in_flight)))


def _check(text: str) -> None:
    assert isinstance(parse_grade(text), GradeReply)


def make_pairs(count: int, round_: int) -> list[Pair]:
    """Pairs that no other round has, of queries with some documents each."""
    return [
        Pair(
            f"q{round_}-{number // PER_QUERY}",
            f"d{round_}-{number}",
            f"what does word number {number // PER_QUERY} mean",
            " ".join(f"word{(number * 31 + place) % 997}" for place in range(WORDS)) + f" {round_}",
        )
        for number in range(count)
    ]


async def measure(url: str, pairs: int, rounds: int, in_flight: int) -> dict[str, list[tuple[float, float]]]:
    """By client the judgments a second of each round: by the clock, and of processor time."""
    speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in CLIENTS}
    for round_ in range(-1, rounds):  # the first warms up: imports, code paths, connections
        made = make_pairs(pairs if round_ >= 0 else 4 * in_flight, round_)
        for name, client in CLIENTS.items():
            with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
                gc.collect()
                clock, processor = time.perf_counter(), time.process_time()
                await client(Work(url, made, in_flight, Path(folder)))
                took = time.perf_counter() - clock, time.process_time() - processor
            if round_ >= 0:
                speeds[name].append((pairs / took[0], pairs / took[1]))
    return speeds


def table(speeds: dict[str, list[tuple[float, float]]]) -> Cells:
    rows = []
    for name, rounds in speeds.items():
        cells: list[str] = []
        for own, base in zip(zip(*rounds, strict=True), zip(*speeds[BASELINE], strict=True), strict=True):
            ratios = [mine / theirs for mine, theirs in zip(own, base, strict=True)]
            cells.append(f"{statistics.median(own):,.0f}")
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        rows.append((name, *cells))
    over = f"over {BASELINE}, rounds"
    headers = ("client", "a second", over, "a second of processor time", over)
    return Cells(headers, tuple(rows), frozenset({"client"}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--in-flight", type=int, default=64)
    arguments = parser.parse_args()
    os.environ["NO_PROXY"] = "127.0.0.1"
    with serving() as url:
        speeds = asyncio.run(measure(url, arguments.pairs, arguments.rounds, arguments.in_flight))
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}, {arguments.in_flight} in flight, ", end="")
    print(f"{arguments.rounds} rounds of {arguments.pairs:,} judgments\n")
    print(markdown(table(speeds)), end="")


if __name__ == "__main__":
    main()
