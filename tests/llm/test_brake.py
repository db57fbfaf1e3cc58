"""Who asks to stop stops the turns of agents as well: none is sent any more, and those in flight end at once
where nobody wants to wait."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from chat_stub import Call, ChatStub, Hang, Move, Status
from langchain_core.messages import AIMessage, HumanMessage
from small_world import world

from serm.agents.loop import Decide
from serm.agents.policy import decider
from serm.cli.main import run
from serm.core import Settings
from serm.core.settings_loop import Price
from serm.graphs import evolve
from serm.graphs.control import Control
from serm.llm.brake import Brake, GivenUpError, StopRequestedError
from serm.llm.purse import Purse, Till
from serm.storage.judgments import JudgmentStore

PRICE = {"input": 1_000.0, "output": 10_000.0}
LOOK = [HumanMessage("look")]


class Wish:
    """Whether to stop; asked for by hand."""

    def __init__(self) -> None:
        self.stop = False

    def __call__(self) -> bool:
        return self.stop


@pytest.fixture
def policy(
    stub: ChatStub, settings_with: Callable[..., Settings], store: JudgmentStore
) -> Callable[[Brake], Decide]:
    def make(brake: Brake) -> Decide:
        settings = settings_with(
            agents={"llm": f"{stub.url}#stub"},
            llm={"timeout": 100.0, "retries": 5, "prices": {"stub": PRICE}, "max_tokens": 16},
        )
        decide = decider(settings, "uncertainty", Purse(None, store, brake))
        assert decide is not None
        return decide

    return make


@pytest.mark.parametrize(
    "refusal",
    [
        Status(429, headers={"Retry-After": "100"}),  # nobody waits for that long
        Status(500),
        Status(400, "Unsupported value: 'temperature'"),  # asked without it, which is no retry
    ],
)
def test_after_a_stop_is_asked_for_no_further_request_is_sent(
    stub: ChatStub, policy: Callable[[Brake], Decide], store: JudgmentStore, refusal: Status
) -> None:
    wish = Wish()

    def play(body: dict[str, Any], _: int) -> Move:
        wish.stop = True
        return refusal

    stub.play = play
    with pytest.raises(StopRequestedError):
        policy(Brake(wish))(LOOK, [])
    assert len(stub.bodies) == 1
    assert store.spent() == 0, "refusals cost nothing"


def test_a_request_that_is_given_up_ends_at_once_and_counts_as_the_most_that_it_can_cost(
    stub: ChatStub, policy: Callable[[Brake], Decide], store: JudgmentStore
) -> None:
    brake, there = Brake(), threading.Event()

    def play(body: dict[str, Any], _: int) -> Move:
        there.set()
        return Hang()

    stub.play = play
    decide = policy(brake)
    with ThreadPoolExecutor(1) as pool:
        turn = pool.submit(decide, LOOK, [])
        assert there.wait(60)
        brake.cancel()
        with pytest.raises(GivenUpError):
            turn.result(60)
    with pytest.raises(StopRequestedError):
        decide(LOOK, [])
    assert len(stub.bodies) == 1
    assert store.spent() > 16 * PRICE["output"] / 1e6
    assert store.turn_totals().turns == 0, "it stays marked"


def test_a_request_that_comes_too_late_is_given_up_as_well() -> None:
    brake, request = Brake(), Future[str]()
    brake.cancel()
    with pytest.raises(GivenUpError):
        brake.result_of(request)
    assert request.cancelled()


def test_who_waits_for_others_turns_to_end_is_told_to_stop(store: JudgmentStore) -> None:
    wish, waiting = Wish(), threading.Event()
    purse, price = Purse(1.5, store, Brake(wish)), Price(input=1, output=1_000)  # a turn costs 1 at most
    spent, asked, submitted = store.spent, threading.Event(), threading.Event()

    def looked() -> float:
        if asked.is_set():
            waiting.set()
        return spent()

    store.spent = looked  # type: ignore[method-assign]

    def first() -> AIMessage:
        asked.set()
        assert waiting.wait(60)
        assert submitted.wait(60)
        wish.stop = True
        with pytest.raises(StopRequestedError):
            other.result(60)
        return AIMessage("")

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(Till(purse, "a", "stub", price, 1_000).pay, first, [], [])
        assert asked.wait(60)
        other = pool.submit(Till(purse, "b", "stub", price, 1_000).pay, lambda: AIMessage("late"), [], [])
        submitted.set()
        one.result(60)
    assert store.turn_totals().turns == 1


def config_in(folder: Path, encoder: Path, stub: ChatStub) -> dict[str, Any]:
    return world(
        folder,
        encoder,
        agents={"llm": f"{stub.url}#boss"},
        llm={"timeout": 100.0, "retries": 5},
        evolution={"rounds": 1},
        miner={"agents": {"uncertainty": 1}, "passes": 2, "pool": 60},
    )


@pytest.mark.parametrize("at_once", [False, True])
def test_a_run_that_is_stopped_asks_for_no_further_turn(
    stub: ChatStub, tmp_path: Path, tiny_encoder: Path, at_once: bool
) -> None:
    control = Control()
    settings = Settings.from_mapping(config_in(tmp_path, tiny_encoder, stub), folder=tmp_path, environment={})

    def play(body: dict[str, Any], _: int) -> Move:
        if at_once:
            control.abort()
            return Hang()
        control.request_drain()
        return Status(500)

    stub.play = play
    stopped = evolve(settings, control=control)
    assert (stopped.stop, len(stopped.rounds), len(stub.bodies)) == ("", 1, 1)


@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_stops_the_miner_and_the_same_command_goes_on(
    stub: ChatStub,
    tmp_path: Path,
    tiny_encoder: Path,
    capsys: pytest.CaptureFixture[str],
    signals: int,
) -> None:
    """The planner's turn is the first, and it is answered, or given up."""
    before = signal.signal(signal.SIGINT, lambda *_: None)  # what is not handled is to end no test
    config = tmp_path / "serm.yaml"
    config.write_text(yaml.safe_dump(config_in(tmp_path, tiny_encoder, stub)), encoding="utf-8")
    out = tmp_path / "sample.csv"
    plan = Call((("set_quotas", '{"quotas": {"uncertainty": 40}}'), ("submit_plan", '{"reason": "one"}')))
    pressed = threading.Event()

    def play(body: dict[str, Any], _: int) -> Move:
        if pressed.is_set():
            return plan if "submit_plan" in str(body["tools"]) else Status(401)
        pressed.set()
        os.kill(os.getpid(), signal.SIGINT)
        if signals == 1:
            return plan
        while "once more" not in capsys.readouterr().out:  # the first one is heard
            threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGINT)
        return Hang()

    stub.play = play
    try:
        assert run(["mine", str(config), "--window", "1", "--out", str(out)]) == 130
        assert (len(stub.bodies), out.exists()) == (1, False)
        assert "The same command goes on from here" in capsys.readouterr().out
        assert run(["mine", str(config), "--window", "1", "--out", str(out)]) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    planner = [body for body in stub.bodies if "submit_plan" in str(body["tools"])]
    assert len(planner) == signals, "an answer that came is paid for, and not asked for again"
