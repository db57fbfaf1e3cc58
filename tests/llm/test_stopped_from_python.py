"""Ctrl-C and `Control.abort()` of calls from Python: nothing more is asked, and nothing more is paid."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from annotating import asked, word, write_config, write_pairs
from chat_stub import ChatStub, Hang, Move, grade
from small_world import world

from serm.core import Settings
from serm.graphs import annotate, evolve, open_supervisor_graph
from serm.graphs.control import Control
from serm.graphs.steering import steered
from serm.llm.brake import StopRequestedError

IN_FLIGHT = 8  # two judges, four calls each


@pytest.fixture(autouse=True)
def python_handles_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def hanging(calls: int, then: Callable[[], object], pair: Callable[[dict[str, Any]], object]) -> Any:
    """Prove the judges; answer no pair; do `then` once so many pairs are in flight."""
    counted, lock = [0], threading.Lock()

    def play(body: dict[str, Any], _: int) -> Move:
        if not pair(body):
            return grade(2)
        with lock:
            counted[0] += 1
            if counted[0] == calls:
                then()
        return Hang()

    return play


@pytest.fixture
def settings(stub: ChatStub, tmp_path: Path) -> Settings:
    return Settings.from_yaml(write_config(tmp_path, stub, "one", "two", llm={"timeout": 10}), environment={})


@pytest.fixture
def pairs(tmp_path: Path) -> pd.DataFrame:
    return pd.read_csv(write_pairs(tmp_path, 30))


def test_ctrl_c_ends_an_annotation_with_the_calls_in_flight(
    stub: ChatStub, settings: Settings, pairs: pd.DataFrame
) -> None:
    stub.play = hanging(IN_FLIGHT, interrupt, word)
    with pytest.raises(KeyboardInterrupt):
        annotate(pairs, settings)
    assert len(asked(stub)) == IN_FLIGHT
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    stub.play = lambda body, times: grade(2)
    again = annotate(pairs, settings)
    assert again.counts["outcomes"] == {"unanimous": 30}
    assert again.counts["lost_calls"] == IN_FLIGHT


def test_an_annotation_that_is_aborted_says_that_it_was_stopped(
    stub: ChatStub, settings: Settings, pairs: pd.DataFrame
) -> None:
    control = Control()
    stub.play = hanging(IN_FLIGHT, control.abort, word)
    with pytest.raises(StopRequestedError):
        annotate(pairs, settings, control=control)
    assert len(asked(stub)) == IN_FLIGHT


def test_a_run_that_is_aborted_returns_and_ctrl_c_ends_it_with_the_calls_in_flight(
    stub: ChatStub, tmp_path: Path, tiny_encoder: Path
) -> None:
    llm = {"concurrency": 2, "shard": 40, "timeout": 10}
    config = world(tmp_path, tiny_encoder, evolution={"rounds": 1}, llm=llm)
    judges = f"{stub.url}#small,{stub.url}#large"
    settings = Settings.from_mapping(config, folder=tmp_path, environment={"SERM_JUDGES": judges})
    proofs, control = 2 * 2, Control()

    def pair(_: dict[str, Any]) -> bool:
        return len(stub.bodies) > proofs

    stub.play = hanging(4, control.abort, pair)
    stopped = evolve(settings, control=control)
    assert (stopped.stop, len(stopped.rounds), stopped.ended) == ("", 1, False)
    assert len(stub.bodies) == proofs + 4

    stub.bodies.clear()
    stub.play = hanging(4, interrupt, lambda _: True)  # the judges are proven once a round
    with pytest.raises(KeyboardInterrupt):
        evolve(settings)
    assert len(stub.bodies) == 4

    with open_supervisor_graph(settings) as graph:
        assert graph.get_name() == "supervisor"
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_handles_ctrl_c_in_a_way_of_their_own_goes_on_doing_so() -> None:
    resources: Any = SimpleNamespace(stop=None, cancel_calls=lambda: None)

    def own(*_: object) -> None: ...

    signal.signal(signal.SIGINT, own)
    with steered(resources):
        assert signal.getsignal(signal.SIGINT) is own
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with steered(resources):
        signal.signal(signal.SIGINT, own)
    assert signal.getsignal(signal.SIGINT) is own


def test_a_thread_other_than_the_main_one_sets_no_handler() -> None:
    resources: Any = SimpleNamespace(stop=None, cancel_calls=lambda: None)
    seen: list[Any] = []

    def work() -> None:
        with steered(resources):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
