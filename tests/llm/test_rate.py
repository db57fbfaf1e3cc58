"""Limits a minute: on a clock that skips waiting, and against a server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
from chat_stub import ChatStub, Say, Status, grade
from hypothesis import given, settings
from hypothesis import strategies as st

from serm.agents.panel import open_panel
from serm.core import Pair, Settings
from serm.llm.rate import MINUTE, Pace
from serm.storage.judgments import JudgmentStore

T = TypeVar("T")
TICK = 1e-6
SLACK = 1e-3


class Skipping(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer where nothing else is to be done."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            then = self._scheduled[0].when()  # type: ignore[attr-defined]
            self._now = max(self._now + TICK, then)  # a clock never stands still
        super()._run_once()  # type: ignore[misc]


def skipping(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=Skipping) as runner:
        return runner.run(work)


def fullest_minute(sent: list[tuple[float, float]]) -> float:
    """The most that was sent in any minute; (second, amount) of each."""
    return max(
        sum(amount for second, amount in sent if start <= second < start + MINUTE - SLACK)
        for start, _ in sent
    )


@settings(max_examples=60, deadline=None)
@given(
    limit=st.sampled_from([0.5, 1, 3, 20, 60, 90, 600]),
    gaps=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.4, 7.0, 90.0]), min_size=1, max_size=60),
)
def test_no_minute_sees_more_requests_than_the_limit(limit: float, gaps: list[float]) -> None:
    async def work() -> list[tuple[float, float]]:
        pace, clock, sent = Pace(limit, None, 16), asyncio.get_running_loop().time, []

        async def one() -> None:
            await pace.admit(100)
            sent.append((clock(), 1.0))

        async with asyncio.TaskGroup() as group:
            for gap in gaps:
                await asyncio.sleep(gap)
                group.create_task(one())
        return sent

    sent = skipping(work())
    assert len(sent) == len(gaps)
    assert fullest_minute(sent) <= max(1, limit)


def test_a_judge_that_is_always_busy_uses_its_limit() -> None:
    async def work() -> float:
        pace = Pace(90, None, 16)
        for _ in range(900):
            await pace.admit(100)
        return asyncio.get_running_loop().time()

    assert skipping(work()) == pytest.approx(10 * MINUTE, rel=0.02)


@settings(max_examples=60, deadline=None)
@given(
    limit=st.sampled_from([300.0, 6_000.0]),
    requests=st.lists(
        st.tuples(st.integers(10, 3_000), st.integers(1, 1_500), st.integers(0, 200)), min_size=1, max_size=30
    ),
)
def test_the_tokens_let_through_come_to_those_that_were_used(
    limit: float, requests: list[tuple[int, int, int]]
) -> None:
    """One request after the other, whatever was guessed: all but the last are made up for by the next, and
    further ones that use nothing bring what is left over back."""

    async def work() -> tuple[list[float], float]:
        pace, clock, starts = Pace(None, limit, 200), asyncio.get_running_loop().time, []
        for size, read, written in requests:
            counted = await pace.admit(size)
            starts.append(clock())
            pace.correct(size, counted, (read, written))
        return starts, pace.guess(requests[-1][0])

    starts, guess = skipping(work())
    assert guess > 0
    used = sum(read + written for _, read, written in requests[:-1])
    leak = (limit + 1 - max(1.0, limit / MINUTE)) / MINUTE
    assert starts[-1] * leak + limit / MINUTE + SLACK >= used, "never faster than the limit"


def test_tokens_are_guessed_from_the_answers_so_far() -> None:
    async def work() -> tuple[float, float]:
        pace = Pace(None, 1e9, 512)
        before = pace.guess(300)
        counted = await pace.admit(300)
        pace.correct(300, counted, (150, 10))
        pace.correct(300, counted, None)
        return before, pace.guess(100)

    assert skipping(work()) == (100 + 512, 50 + 10)


def test_a_request_of_more_tokens_than_a_minute_has_waits_for_all_of_them() -> None:
    async def work() -> float:
        pace = Pace(None, 60, 0)
        await pace.admit(3 * 180)
        return asyncio.get_running_loop().time()

    assert skipping(work()) == pytest.approx(3 * MINUTE, rel=0.05)


def test_nothing_is_sent_while_the_server_wants_to_be_left_alone() -> None:
    async def work() -> list[float]:
        pace, clock, sent = Pace(None, None, 16), asyncio.get_running_loop().time, []

        async def one() -> None:
            await pace.admit(0)
            sent.append(clock())

        await one()
        pace.hold(5)
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(one())
            await asyncio.sleep(4)
            pace.hold(3)
        return sent

    assert skipping(work()) == [0, 7, 7, 7]


def test_waiting_for_a_limit_is_no_timeout_and_slows_the_judge_down(
    stub: ChatStub,
    store: JudgmentStore,
    settings_with: Callable[..., Settings],
    pairs: Callable[..., list[Pair]],
) -> None:
    stub.play = lambda body, times: grade(1)
    llm = {"requests_per_minute": 120, "timeout": 1.4, "retries": 0, "concurrency": 8}
    with open_panel(settings_with(f"{stub.url}#stub", llm=llm)) as panel:
        began = time.monotonic()
        report = panel.judge("stub", pairs(*"abcdef"), store)
    assert (report.graded, report.failed) == (6, 0)
    assert time.monotonic() - began > 1.9, "two at once, then one each half second"


def test_each_judge_has_limits_of_its_own_and_retries_are_within_them(
    stub: ChatStub,
    store: JudgmentStore,
    settings_with: Callable[..., Settings],
    pairs: Callable[..., list[Pair]],
) -> None:
    stub.play = lambda body, times: grade(1) if times else Status(500)
    llm = {"requests_per_minute": 120, "timeout": 5.0, "concurrency": 8}
    judges = [{"backend": f"{stub.url}#stub", "name": name} for name in ("a", "b")]
    with open_panel(settings_with(*judges, llm=llm)) as panel:
        began = time.monotonic()
        report = panel.judge("a", pairs("x", "y"), store)
        middle = time.monotonic()
        other = panel.judge("b", pairs("z"), store)
    assert (report.graded, report.requests, other.graded) == (2, 4, 1)
    assert middle - began > 0.9, "two at once, then one each half second"
    assert time.monotonic() - middle < middle - began


def test_tokens_that_the_server_counts_slow_the_judge_down(
    stub: ChatStub,
    store: JudgmentStore,
    settings_with: Callable[..., Settings],
    pairs: Callable[..., list[Pair]],
) -> None:
    stub.play = lambda body, times: Say('{"grade": 1, "reason": ""}', tokens_in=9_000, tokens_out=1_000)
    llm = {"tokens_per_minute": 1_200_000, "max_tokens": 64, "timeout": 5.0, "concurrency": 1}
    with open_panel(settings_with(f"{stub.url}#stub", llm=llm)) as panel:
        began = time.monotonic()
        panel.judge("stub", pairs("a", "b", "c", "d"), store)
    assert 0.4 < time.monotonic() - began < 5, "20,000 a second, and 30,000 before the last"
