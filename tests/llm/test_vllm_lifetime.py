"""When an engine in this process is loaded, sleeps, wakes, dies and is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from vllm_bench import MESSAGES, SCHEMA, Bench, FakeCore, PairsOf, answer, ask, word

from serm.agents.panel import Panel
from serm.core.errors import JudgeError
from serm.llm.engine import Said, Wish
from serm.llm.parse import parse_grade
from serm.llm.vllm_engine import Engine
from serm.storage.judgments import JudgmentStore


def test_an_engine_that_died_ends_the_work_and_the_next_panel_starts_another(
    bench: Bench, panel_with: Callable[..., Panel], store: JudgmentStore, pairs: PairsOf
) -> None:
    bench.play = lambda wish, times: JudgeError("the engine has died") if word(wish) == "w1" else answer(0)
    with panel_with() as panel:
        with pytest.raises(JudgeError, match="has died"):
            panel.judge("m", pairs("w0", "w1", "w2"), store)
        with pytest.raises(JudgeError, match="has died"):
            panel.judge("m", pairs("w4"), store)
        assert store.lost_calls() == 0
    bench.play = lambda wish, times: answer(1)
    with panel_with() as panel:
        assert panel.judge("m", pairs("w0", "w1", "w2"), store).failed == 0
    assert (len(bench.loaded), bench.cores[0].story) == (2, ["down"])


def test_a_model_that_cannot_be_loaded_is_tried_once_a_panel(
    bench: Bench, panel_with: Callable[..., Panel], store: JudgmentStore, pairs: PairsOf
) -> None:
    def refuse(model: str, arguments: Mapping[str, object]) -> FakeCore:
        bench.loaded.append((model, arguments))
        raise JudgeError(f"vLLM cannot load `{model}`")

    bench.engines._start = refuse
    with panel_with({"backend": "vllm:m", "name": "a"}, {"backend": "vllm:m", "name": "b"}) as panel:
        faults = panel.prove()
        with pytest.raises(JudgeError, match="cannot load"):
            panel.judge("a", pairs("x"), store)
    assert all("cannot load `m`" in fault for fault in faults.values())
    assert len(bench.loaded) == 1


def test_an_engine_sleeps_when_the_panel_rests_and_wakes_when_it_is_asked(
    bench: Bench, panel_with: Callable[..., Panel], store: JudgmentStore, pairs: PairsOf
) -> None:
    with panel_with() as panel:
        assert panel.prove() == {"m": ""}
        assert bench.core.story == ["sleep"]
        panel.rest()  # it sleeps already
        panel.judge("m", pairs("x"), store)
        assert bench.core.story == ["sleep", "wake"]
        panel.rest()
    assert bench.core.story == ["sleep", "wake", "sleep"]
    with panel_with() as panel:  # the next round's: nothing is loaded anew
        panel.judge("m", pairs("y"), store)
    assert bench.core.story == ["sleep", "wake", "sleep", "wake", "sleep"]
    assert len(bench.loaded) == 1


def test_an_engine_that_is_being_asked_does_not_sleep(bench: Bench) -> None:
    bench.together = 2  # the first answer waits for the second question

    async def run() -> None:
        first, second = bench.asker(), bench.asker()
        asking = asyncio.create_task(first.ask(MESSAGES, parse_grade, schema=SCHEMA, path=0))
        while not (bench.cores and bench.core.wishes):
            await asyncio.sleep(0.001)
        await asyncio.to_thread(bench.engines.rest)
        await second.ask(MESSAGES, parse_grade, schema=SCHEMA, path=0)
        await asking
        assert bench.core.story == []
        await first.close()
        assert bench.core.story == []  # the other one still has it
        await second.close()
        assert bench.core.story == ["sleep"]

    asyncio.run(run())


def test_where_vllm_cannot_sleep_it_says_so_once_and_is_shut_down_with_the_panel(
    bench: Bench,
    panel_with: Callable[..., Panel],
    store: JudgmentStore,
    pairs: PairsOf,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench.sleeps = False
    with panel_with() as panel:
        panel.judge("m", pairs("x"), store)
        panel.rest()
        panel.rest()
        assert bench.core.story == []
    assert bench.core.story == ["down"]
    assert caplog.text.count("cannot sleep on this device") == 1


def test_an_engine_that_does_not_fall_asleep_is_shut_down_and_loaded_anew(bench: Bench) -> None:
    asker = bench.asker()

    async def fail() -> None:
        raise RuntimeError("no")

    async def run() -> None:
        await asker.ask(MESSAGES, parse_grade, schema=SCHEMA, path=0)
        bench.core.sleep = fail  # type: ignore[method-assign]
        await asyncio.to_thread(bench.engines.rest)
        assert bench.core.story == ["down"]
        await asker.ask(MESSAGES, parse_grade, schema=SCHEMA, path=0)
        await asker.close()

    asyncio.run(run())
    assert len(bench.loaded) == 2


def test_an_engine_outlives_the_event_loops_of_those_that_ask(bench: Bench) -> None:
    keep = bench.asker()
    for _ in range(3):
        assert ask(bench.asker()).value.grade == 2
    assert bench.core.threads == {"vllm m"}
    asyncio.run(keep.close())


def test_a_stuck_engine_is_given_up_and_a_slow_one_is_not() -> None:
    core = FakeCore(lambda wish, times: answer(2))
    engine = Engine("m", lambda: core, patience=0.1)
    wish = Wish(MESSAGES, SCHEMA, 0.0, 0, 16)

    async def run() -> list[Any]:
        core.together = 2
        stuck = await asyncio.gather(engine.generate(wish), return_exceptions=True)
        core.together = 1

        async def later(number: int) -> Said:
            await asyncio.sleep(0.06 * number)
            return Said("{}", 1, 1)

        waits = iter(range(1, 6))
        core.generate = lambda wish: later(next(waits))  # type: ignore[method-assign]
        slow = await asyncio.gather(*(engine.generate(wish) for _ in range(5)), return_exceptions=True)
        return [*stuck, *slow]

    stuck, *slow = asyncio.run(run())
    assert type(stuck).__name__ == "StalledError"
    assert all(isinstance(said, Said) for said in slow)  # the last took 0.3 s, others ended meanwhile
    engine.shut_down()
