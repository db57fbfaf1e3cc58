"""Turns of agents are money as well: reserved before, counted after, never past the budget."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from chat_stub import ChatStub, Drip, Hang, Raw, Status, completion
from chat_stub import Say as Words
from langchain_core.messages import AIMessage, HumanMessage
from mining_desks import make_desk
from small_world import world

from serm.agents.miners import mine_with
from serm.agents.policy import decider
from serm.core import Settings
from serm.core.errors import BudgetExceededError, ConfigError, StorageError
from serm.core.settings_loop import Price
from serm.graphs import evolve
from serm.llm.purse import Purse, Till
from serm.storage.judgments import JudgmentStore
from serm.storage.trace import SpanKind, Tracer, read_spans

TURNS = [
    ("score_uncertainty", {"measure": "margin"}),
    ("nominate", {"candidates": "c1", "count": 20, "reason": "unsure"}),
]
PRICE = {"input": 1_000.0, "output": 10_000.0}
A_TURN = (50 * 1_000 + 5 * 10_000) / 1e6
"""The stub counts 50 tokens read and 5 written a turn."""


def say(name: str, arguments: dict[str, Any], *, usage: bool = True) -> Raw:
    answer = completion(Words("", tokens_in=50, tokens_out=5, usage=usage))
    call = {"name": name, "arguments": json.dumps(arguments)}
    answer["choices"][0]["message"]["tool_calls"] = [
        {"id": f"c-{name}", "type": "function", "function": call}
    ]
    return Raw(json.dumps(answer).encode())


def play(body: dict[str, Any], _: int) -> Raw:
    return say(*TURNS[sum(message["role"] == "assistant" for message in body["messages"])])


@pytest.fixture
def mine(
    stub: ChatStub, settings_with: Callable[..., Settings], store: JudgmentStore
) -> Callable[[float | None], None]:
    """The uncertainty agent at work, paid from a budget."""

    def run(currency: float | None, *, max_tokens: int = 16) -> None:
        settings = settings_with(
            agents={"llm": f"{stub.url}#stub"},
            llm={"timeout": 5.0, "prices": {"stub": PRICE}, "max_tokens": max_tokens},
            budget={"currency": currency},
        )
        decide = decider(settings, "uncertainty", Purse(currency, store))
        mine_with("uncertainty", make_desk(), decide, 20)

    return run


def test_every_turn_is_in_the_ledger_and_its_cost_in_the_trace(
    stub: ChatStub, mine: Callable[[float | None], None], store: JudgmentStore, tmp_path: Path
) -> None:
    stub.play = play
    tracer = Tracer(tmp_path / "traces.sqlite", "t")
    with tracer.active():
        mine(None)
    tracer.close()
    totals = store.turn_totals("t")
    assert (totals.turns, totals.tokens_in, totals.tokens_out) == (2, 100, 10)
    assert totals.cost == pytest.approx(2 * A_TURN)
    assert store.spent() == pytest.approx(2 * A_TURN)
    assert store.turn_totals("another").turns == 0
    models = [s for s in read_spans(tmp_path / "traces.sqlite", "t") if s.kind is SpanKind.MODEL]
    assert [span.attributes["cost"] for span in models] == pytest.approx([A_TURN, A_TURN])
    assert [body["max_tokens"] for body in stub.bodies] == [16, 16]  # what was reserved is what can come
    with JudgmentStore(f"sqlite:///{tmp_path / 'judgments.sqlite'}") as restarted:
        assert restarted.spent() == pytest.approx(2 * A_TURN)


def test_no_turn_is_asked_for_that_could_pass_the_budget(
    stub: ChatStub, mine: Callable[[float | None], None], store: JudgmentStore
) -> None:
    stub.play = play
    with pytest.raises(BudgetExceededError, match="turn of an agent"):
        mine(0.1)
    assert stub.bodies == []
    mine(1_000.0)
    assert len(stub.bodies) == 2
    with pytest.raises(BudgetExceededError):  # what is paid stays paid
        mine(2 * A_TURN + 0.1)


def test_a_turn_whose_tokens_are_not_counted_costs_the_most_that_it_can(
    stub: ChatStub, mine: Callable[[float | None], None], store: JudgmentStore
) -> None:
    stub.play = lambda body, _: say("finish", {"reason": "nothing"}, usage=False)
    mine(None)
    assert store.turn_totals().tokens_in == 0
    least = 16 * PRICE["output"] / 1e6  # llm.max_tokens written, and all bytes read
    assert store.spent() > least + 1


def test_a_negative_count_of_tokens_lowers_no_account(
    stub: ChatStub, mine: Callable[[float | None], None], store: JudgmentStore
) -> None:
    def refund(body: dict[str, Any], times: int) -> Raw:
        answer = json.loads(play(body, times).body)
        answer["usage"]["prompt_tokens"] = -1_000_000
        return Raw(json.dumps(answer).encode())

    stub.play = refund
    mine(None)
    assert (store.turn_totals().turns, store.turn_totals().tokens_in) == (2, 0)
    assert store.spent() > 2 * 16 * PRICE["output"] / 1e6


@pytest.mark.parametrize("part", ["prompt_tokens", "completion_tokens"])
def test_a_count_of_tokens_that_no_turn_can_have_had_costs_the_most_that_it_can(
    stub: ChatStub, mine: Callable[[float | None], None], store: JudgmentStore, part: str
) -> None:
    def absurd(body: dict[str, Any], times: int) -> Raw:
        answer = json.loads(play(body, times).body)
        answer["usage"][part] = 9_999_999
        return Raw(json.dumps(answer).encode())

    stub.play = absurd
    mine(1_000.0)
    assert (store.turn_totals().turns, store.turn_totals().tokens_in) == (2, 0)
    assert store.spent() < 100


def test_half_an_emoji_in_an_agent_s_arguments_is_kept_as_what_it_is_not(
    stub: ChatStub, mine: Callable[[float | None], None], store: JudgmentStore, tmp_path: Path
) -> None:
    turns = [TURNS[0], ("nominate", {**TURNS[1][1], "reason": "unsure \ud83d"})]
    stub.play = lambda body, _: say(*turns[sum(said["role"] == "assistant" for said in body["messages"])])
    tracer = Tracer(tmp_path / "traces.sqlite", "t")
    with tracer.active():
        mine(None)
    tracer.close()
    spans = read_spans(tmp_path / "traces.sqlite", "t")
    (tool,) = [item for item in spans if item.name == "nominate"]
    assert (tool.inputs["reason"], tool.error) == ("unsure \ufffd", "")
    assert store.turn_totals("t").turns == 2


def test_a_turn_that_fails_costs_nothing_and_the_rules_take_over(
    stub: ChatStub, mine: Callable[[float | None], None], store: JudgmentStore
) -> None:
    stub.play = lambda body, _: Status(401)
    mine(1_000.0)
    assert (store.spent(), store.turn_totals().turns) == (0.0, 0)


def test_a_turn_whose_connection_does_not_come_about_costs_nothing(
    stub: ChatStub, settings_with: Callable[..., Settings], store: JudgmentStore
) -> None:
    """It speaks TLS to a server that speaks none: the handshake fails, and no request is sent."""
    settings = settings_with(
        agents={"llm": f"{stub.url.replace('http://', 'https://')}#stub"},
        llm={"retries": 1, "prices": {"stub": PRICE}, "max_tokens": 16},
    )
    mine_with("uncertainty", make_desk(), decider(settings, "uncertainty", Purse(None, store)), 20)
    assert (store.spent(), store.turn_totals().turns, stub.bodies) == (0.0, 0, [])


@pytest.mark.parametrize("retries", [0, 2])
def test_each_request_that_times_out_may_have_been_answered_and_is_counted(
    stub: ChatStub, settings_with: Callable[..., Settings], store: JudgmentStore, retries: int
) -> None:
    stub.play = lambda body, _: Hang()
    settings = settings_with(
        agents={"llm": f"{stub.url}#stub"},
        llm={"timeout": 0.6, "retries": retries, "prices": {"stub": PRICE}, "max_tokens": 16},
    )
    mine_with("uncertainty", make_desk(), decider(settings, "uncertainty", Purse(None, store)), 20)
    assert stub.asked(least=1 + retries) == store.turn_totals().turns == 1 + retries
    assert store.spent() > (1 + retries) * 16 * PRICE["output"] / 1e6


def test_an_answer_that_comes_drop_by_drop_is_given_up_in_time_and_counted(
    stub: ChatStub, settings_with: Callable[..., Settings], store: JudgmentStore
) -> None:
    """Of a client's limit each drop is a new beginning."""
    stub.play = lambda body, _: Drip(0.1, bytes=400)
    settings = settings_with(
        agents={"llm": f"{stub.url}#stub"},
        llm={"timeout": 0.5, "retries": 1, "prices": {"stub": PRICE}, "max_tokens": 16},
    )
    decide = decider(settings, "uncertainty", Purse(None, store))
    assert decide is not None
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        decide([HumanMessage("look")], [])
    assert time.monotonic() - began < 20  # of the 40 seconds that an answer would take
    assert stub.asked(least=2) == store.turn_totals().turns == 2
    assert store.spent() > 2 * 16 * PRICE["output"] / 1e6


def test_a_model_that_refuses_a_temperature_decides_without_it_and_pays_a_turn_once(
    stub: ChatStub, settings_with: Callable[..., Settings], store: JudgmentStore
) -> None:
    refusal = Status(400, "Unsupported value: 'temperature' does not support 0 with this model.")
    stub.play = lambda body, times: refusal if "temperature" in body else play(body, times)
    settings = settings_with(
        agents={"llm": f"{stub.url}#stub"},
        llm={"timeout": 5.0, "retries": 0, "prices": {"stub": PRICE}, "max_tokens": 16},
    )
    found = mine_with("uncertainty", make_desk(), decider(settings, "uncertainty", Purse(None, store)), 20)
    assert found["reason"].str.endswith(": unsure").all(), "the model's words, not the rules'"
    assert ["temperature" in body for body in stub.bodies] == [True, False, False]
    assert store.turn_totals().turns == 2
    assert store.spent() == pytest.approx(2 * A_TURN)


def test_a_refusal_that_names_no_part_of_the_request_is_asked_once(
    stub: ChatStub, mine: Callable[[float | None], None], store: JudgmentStore
) -> None:
    stub.play = lambda body, _: Status(400, "no")
    mine(None)
    assert len(stub.bodies) == 1


@pytest.mark.parametrize(("code", "requests"), [(503, 2), (402, 1)])
def test_an_error_of_status_200_costs_nothing_and_a_refusal_is_asked_once(
    stub: ChatStub, mine: Callable[[float | None], None], store: JudgmentStore, code: int, requests: int
) -> None:
    """The client itself gives all of them one name."""
    stub.play = lambda body, _: Raw(json.dumps({"error": {"message": "no", "code": code}}).encode())
    mine(None)
    assert len(stub.bodies) == requests
    assert store.spent() == 0


def test_a_retry_that_could_pass_the_budget_is_not_made(
    stub: ChatStub, settings_with: Callable[..., Settings], store: JudgmentStore
) -> None:
    stub.play = lambda body, _: Hang()

    def run(currency: float | None) -> None:
        settings = settings_with(
            agents={"llm": f"{stub.url}#stub"},
            llm={"timeout": 0.6, "retries": 4, "prices": {"stub": PRICE}, "max_tokens": 16},
            budget={"currency": currency},
        )
        mine_with("uncertainty", make_desk(), decider(settings, "uncertainty", Purse(currency, store)), 20)

    run(None)
    assert stub.asked(least=5) == 5
    a_request = store.spent() / 5
    with pytest.raises(BudgetExceededError, match="turn of an agent"):
        run(store.spent() + 2.5 * a_request)
    assert stub.asked(least=7) == store.turn_totals().turns == 7


def test_a_turn_that_comes_after_a_failure_costs_what_it_took(
    stub: ChatStub, mine: Callable[[float | None], None], store: JudgmentStore
) -> None:
    stub.play = lambda body, times: play(body, times) if times else Status(500)
    mine(1_000.0)
    assert (len(stub.bodies), store.turn_totals().turns) == (4, 2)
    assert store.spent() == pytest.approx(2 * A_TURN)


@pytest.mark.parametrize(
    ("status", "requests"), [(Status(429), 2), (Status(429, kind="insufficient_quota"), 1)]
)
def test_a_turn_that_no_wait_will_bring_is_not_asked_for_again(
    stub: ChatStub, mine: Callable[[float | None], None], store: JudgmentStore, status: Status, requests: int
) -> None:
    stub.play = lambda body, _: status
    mine(1_000.0)
    assert (len(stub.bodies), store.spent()) == (requests, 0.0)


def test_an_agent_that_starts_over_in_its_round_pays_no_turn_twice(
    stub: ChatStub, mine: Callable[[float | None], None], store: JudgmentStore, tmp_path: Path
) -> None:
    stub.play = play
    for life in range(2):
        tracer = Tracer(tmp_path / f"{life}.sqlite", "t")
        with tracer.active():
            mine(None)
        tracer.close()
    assert len(stub.bodies) == store.turn_totals("t").turns == 2
    again = [s.attributes for s in read_spans(tmp_path / "1.sqlite", "t") if s.kind is SpanKind.MODEL]
    assert [told.get("recorded") for told in again] == [True, True]
    assert not any("tokens_in" in told or "cost" in told for told in again)
    tracer = Tracer(tmp_path / "2.sqlite", "another round")
    with tracer.active():
        mine(None)
    tracer.close()
    assert len(stub.bodies) == 4


def test_with_more_tokens_an_agent_is_asked_again_in_its_round(
    stub: ChatStub, mine: Callable[..., None], tmp_path: Path
) -> None:
    """To raise `llm.max_tokens` is the advice on an answer that was cut off: it may not come back."""
    stub.play = play
    for life, tokens in enumerate((16, 4_096)):
        tracer = Tracer(tmp_path / f"{life}.sqlite", "t")
        with tracer.active():
            mine(None, max_tokens=tokens)
        tracer.close()
    assert [body["max_tokens"] for body in stub.bodies] == [16, 16, 4_096, 4_096]


def test_agents_that_work_side_by_side_stay_within_the_budget_together(store: JudgmentStore) -> None:
    limit = 1.0
    purse = Purse(limit, store)

    def ask() -> AIMessage:
        time.sleep(0.01)
        usage = {"input_tokens": 60, "output_tokens": 0, "total_tokens": 60}
        return AIMessage("", usage_metadata=usage)  # type: ignore[arg-type]

    def work(number: int) -> int:
        till = Till(purse, f"agent {number}", "stub", Price(input=1_000, output=0), 16)
        for turn in range(20):
            try:
                till.pay(ask, [], [])
            except BudgetExceededError:
                return turn
        return 20

    with ThreadPoolExecutor(8) as pool:
        answered = sum(pool.map(work, range(8)))
    assert answered == store.turn_totals().turns
    assert limit - 0.07 < store.spent() <= limit  # 66 tokens are reserved a turn, 60 are used


def test_agents_side_by_side_wait_for_each_other_s_turns_and_are_not_out_of_money_by_them(
    store: JudgmentStore,
) -> None:
    purse, price = Purse(1.5, store), Price(input=1, output=1_000)  # a turn costs 1 at most, and .005 here

    def ask() -> AIMessage:
        time.sleep(0.05)
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        return AIMessage("", usage_metadata=usage)  # type: ignore[arg-type]

    def work(number: int) -> AIMessage:
        return Till(purse, f"agent {number}", "stub", price, 1_000).pay(ask, [HumanMessage("look")], [])

    with ThreadPoolExecutor(5) as pool:
        assert len(list(pool.map(work, range(5)))) == 5
    assert store.turn_totals().turns == 5
    assert store.spent() == pytest.approx(5 * 0.00501)


@pytest.mark.parametrize("ends", [KeyboardInterrupt, StorageError])
def test_an_agent_that_waits_is_told_once_no_turn_in_flight_can_leave_room(
    store: JudgmentStore, monkeypatch: pytest.MonkeyPatch, ends: type[BaseException]
) -> None:
    """A turn that was interrupted, or whose end cannot be written, stays marked and counts."""
    purse, price = Purse(1.5, store), Price(input=1, output=1_000)
    asked, waiting = threading.Event(), threading.Event()
    spent = store.spent

    def looked() -> float:
        if asked.is_set():
            waiting.set()
        return spent()

    monkeypatch.setattr(store, "spent", looked)

    def first() -> AIMessage:
        asked.set()
        assert waiting.wait(20)
        if ends is KeyboardInterrupt:
            raise KeyboardInterrupt
        return AIMessage("")

    def cannot(*_: object) -> None:
        raise StorageError("it is full.", "Make room.")

    if ends is StorageError:
        monkeypatch.setattr(store, "turn_ended", cannot)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(Till(purse, "a", "stub", price, 1_000).pay, first, [], [])
        assert asked.wait(20)
        other = pool.submit(Till(purse, "b", "stub", price, 1_000).pay, lambda: AIMessage("late"), [], [])
        with pytest.raises(ends):
            one.result(20)
        with pytest.raises(BudgetExceededError, match="1 is paid or asked for"):
            other.result(20)
    assert store.turn_totals().turns == 0


KILLED = """
import os, sys
from langchain_core.messages import HumanMessage
from serm.core.settings_loop import Price
from serm.llm.purse import Purse, Till
from serm.storage.judgments import JudgmentStore
with JudgmentStore(sys.argv[1]) as store:
    till = Till(Purse(10.0, store), "drift", "stub", Price(input=0, output=100_000), 16)
    till.pay(lambda: os.kill(os.getpid(), 9), [HumanMessage("look")], [])
"""


def test_a_turn_in_flight_at_a_kill_is_counted_as_the_most_that_it_can_have_cost(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'judgments.sqlite'}"
    process = subprocess.run([sys.executable, "-c", KILLED, url], check=False)
    assert process.returncode == -signal.SIGKILL
    a_turn = 16 * 100_000 / 1e6
    with JudgmentStore(url) as store:
        assert (store.lost_turns(), store.turn_totals().turns) == (1, 0)
        assert store.spent() == pytest.approx(a_turn)
        till = Till(Purse(1.5 * a_turn, store), "drift", "stub", Price(input=0, output=100_000), 16)
        with pytest.raises(BudgetExceededError, match=r"1\.6 is paid or asked for"):
            till.pay(lambda: AIMessage("late"), [], [])


def test_a_turn_that_is_interrupted_stays_marked_and_counts_once(store: JudgmentStore) -> None:
    a_turn = 16 * 100_000 / 1e6
    till = Till(Purse(2.5 * a_turn, store), "drift", "stub", Price(input=0, output=100_000), 16)

    def interrupted() -> AIMessage:
        raise KeyboardInterrupt

    def watched() -> AIMessage:
        assert store.spent() == pytest.approx(2 * a_turn), "this one and the one before"
        return AIMessage("", usage_metadata={"input_tokens": 1, "output_tokens": 4, "total_tokens": 5})

    with pytest.raises(KeyboardInterrupt):
        till.pay(interrupted, [], [])
    assert store.spent() == pytest.approx(a_turn)
    till.pay(watched, [], [])
    assert store.spent() == pytest.approx(1.25 * a_turn)


def test_a_budget_needs_a_price_for_the_agents_model(settings_with: Callable[..., Settings]) -> None:
    settings = settings_with(agents={"llm": "openai:gpt-4o"}, budget={"currency": 5})
    with pytest.raises(ConfigError, match=r"no price for `gpt-4o` \(`agents.llm`\)"):
        decider(settings, "drift")


@pytest.mark.slow
def test_a_run_stops_before_agents_pass_its_budget_and_goes_on_under_a_larger_one(
    stub: ChatStub, tmp_path: Path, tiny_encoder: Path
) -> None:
    stub.play = lambda body, _: say("finish", {"reason": "nothing to do"})

    def run(currency: float) -> Any:
        config = world(
            tmp_path,
            tiny_encoder,
            agents={"llm": f"{stub.url}#stub"},
            miner={"passes": 2, "pool": 60, "agents": {"feedback": 1.0}},
            llm={"shard": 15, "timeout": 5.0, "prices": {"stub": PRICE}},
            budget={"pairs_per_round": 8, "currency": currency},
            evolution={"rounds": 1},
        )
        return evolve(Settings.from_mapping(config, folder=tmp_path, environment={}))

    broke = run(0.5)
    assert "could pass the budget of 0.5" in broke.stop
    assert (len(broke.rounds), stub.bodies) == (1, [])
    counts = run(1_000.0).rounds[1]["counts"]
    assert counts["agents"]["turns"] == len(stub.bodies) > 0
    assert counts["agents"]["cost"] == pytest.approx(len(stub.bodies) * A_TURN)
    assert counts["agents"]["lost_turns"] == 0
