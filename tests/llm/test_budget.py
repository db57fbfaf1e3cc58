"""Currency is never passed: with several judges at once, retries, turns with tools, faults and restarts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from chat_stub import ChatStub, Drop, Move, Raw, Say, Status, completion
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from serm.agents.panel import open_panel
from serm.core import Pair, Settings
from serm.core.errors import BudgetExceededError
from serm.core.hashing import unit_interval
from serm.core.settings_loop import Price
from serm.llm.budget import Budget
from serm.storage.judgments import JudgmentStore

PRICES = {"stub": {"input": 1_000, "output": 2_000}}
NOTHING: tuple[Move, ...] = (Status(500), Status(429))


class Till:
    """Plays a server that fails a third of all calls, and adds up what its answers cost."""

    def __init__(self) -> None:
        self.taken = 0.0

    def play(self, body: dict[str, Any], times: int) -> Move:
        draw = unit_interval(body["messages"][-1]["content"], times, body["model"])
        if draw < 0.2:
            return NOTHING[int(draw * 10)]
        self.taken += (300 * 1_000 + 10 * 2_000) / 1e6
        if draw < 0.3:
            return Say("prose", tokens_in=300)
        if draw < 0.35:
            return Drop()  # answered, paid for, and lost on the way
        return Say(json.dumps({"grade": 2, "reason": "so"}), tokens_in=300)


@pytest.mark.parametrize("currency", [4.0, 15.0, 200.0])
def test_several_judges_at_once_stay_within_one_budget_whatever_fails(
    stub: ChatStub,
    store: JudgmentStore,
    settings_with: Callable[..., Settings],
    pairs: Callable[..., list[Pair]],
    currency: float,
) -> None:
    till = Till()
    stub.play = till.play
    names = ("a", "b", "c")
    settings = settings_with(
        *({"backend": f"{stub.url}#stub", "name": name} for name in names),
        llm={"prices": PRICES, "concurrency": 4, "timeout": 5.0, "max_tokens": 16},
        budget={"currency": currency},
    )
    everything = pairs(*(f"w{number}" for number in range(40)))

    def work(panel: Any, name: str) -> None:
        try:
            panel.judge(name, everything, store)
        except BudgetExceededError:
            return

    for _ in range(2):  # the second panel starts with what the first has paid
        with open_panel(settings) as panel, ThreadPoolExecutor(len(names)) as threads:
            list(threads.map(lambda name: work(panel, name), names))
        assert till.taken <= store.spent() + 1e-9 <= currency + 1e-9
    accounts = {account.judge: account for account in store.accounts()}
    assert sum(account.cost for account in accounts.values()) == pytest.approx(store.spent())
    assert sum(account.requests for account in accounts.values()) == len(stub.bodies)
    if currency == 200.0:
        assert sum(account.judgments for account in accounts.values()) == 3 * len(everything)
    else:
        assert store.spent() > currency / 4, "money is used, not hoarded"


def test_turns_with_tools_are_within_the_budget_too(
    stub: ChatStub, store: JudgmentStore, settings_with: Callable[..., Settings]
) -> None:
    from serm.llm.openai_compatible import ChatClient
    from serm.llm.spec import parse_backend

    function = {"name": "look", "arguments": "{}"}
    body = completion(Say("", tokens_in=300))
    body["choices"][0]["message"]["tool_calls"] = [{"id": "1", "type": "function", "function": function}]
    stub.play = lambda _, times: Raw(json.dumps(body).encode())
    budget, price = Budget(2.0), Price(**PRICES["stub"])

    async def talk() -> int:
        settings = settings_with(llm={"max_tokens": 16, "timeout": 5.0}).llm
        client = ChatClient(parse_backend(f"{stub.url}#stub"), settings, price=price, budget=budget)
        tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
        messages: list[dict[str, Any]] = [{"role": "user", "content": "Look at it."}]
        turns = 0
        try:
            while True:
                await client.turn(messages, [tool], path=0)
                turns += 1
        except BudgetExceededError:
            return turns
        finally:
            await client.close()

    turns = asyncio.run(talk())
    assert turns == len(stub.bodies) > 2
    assert budget.paid == pytest.approx(turns * 0.32)
    assert budget.paid <= 2.0


def test_a_request_waits_for_those_in_flight_that_cost_less_than_they_could() -> None:
    async def run() -> list[float]:
        budget, ended = Budget(1.0), []

        async def request(number: int) -> None:
            await budget.wait_for(0.4)
            await asyncio.sleep(0.001)
            budget.settle(0.4, 0.1)
            ended.append(number)

        await asyncio.gather(*map(request, range(6)))
        assert sorted(ended) == [0, 1, 2, 3, 4, 5]
        with pytest.raises(BudgetExceededError, match=r"0\.6 is paid, and it may cost 0\.5"):
            await budget.wait_for(0.5)  # nothing is in flight that could leave room
        budget.reserve(0.3)
        with pytest.raises(BudgetExceededError):
            await asyncio.wait_for(budget.wait_for(0.5), 1)  # nor would it, if it cost nothing
        return [budget.paid]

    assert asyncio.run(run()) == pytest.approx([0.6])


@hypothesis_settings(max_examples=200, deadline=None)
@given(
    limit=st.floats(0.1, 20),
    events=st.lists(st.tuples(st.booleans(), st.floats(0, 3), st.floats(0, 1)), max_size=60),
)
def test_what_is_paid_and_reserved_never_passes_the_limit(
    limit: float, events: list[tuple[bool, float, float]]
) -> None:
    """Requests start and end in any order, and cost any share of what was reserved for them."""
    budget, flying = Budget(limit), []
    for starts, amount, share in events:
        if starts or not flying:
            try:
                budget.reserve(amount)
                flying.append(amount)
            except BudgetExceededError:
                assert budget.paid + sum(flying) + amount > limit - 1e-9
        else:
            reserved = flying.pop(int(share * (len(flying) - 1)))
            budget.settle(reserved, share * reserved)
        assert budget.paid + sum(flying) <= limit + 1e-9
    for reserved in flying:
        budget.settle(reserved, reserved)
    assert budget.paid <= limit + 1e-9
