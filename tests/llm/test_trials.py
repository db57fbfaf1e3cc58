"""The calls by which judges prove themselves are paid: they are in the ledger, and within the budget."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from chat_stub import Call, ChatStub, Say, Status

from serm.agents.panel import open_panel
from serm.core import Pair, Settings
from serm.core.errors import BudgetExceededError
from serm.storage.accounts import Account
from serm.storage.judgments import JudgmentStore
from serm.storage.knowledge import NoKnowledge

PRICES = {"stub": {"input": 1_000, "output": 1_000}}
A_CALL = 0.11  # the stub counts 100 tokens read and 10 written
SettingsWith = Callable[..., Settings]


@pytest.fixture
def settings(stub: ChatStub, settings_with: SettingsWith) -> Callable[..., Settings]:
    def make(currency: float | None = None, retries: int = 0, **judge: object) -> Settings:
        llm = {"prices": PRICES, "max_tokens": 16, "timeout": 5.0, "retries": retries}
        judges = {"backend": f"{stub.url}#stub", "prompt": "grade_only", **judge}
        return settings_with(judges, llm=llm, budget={"currency": currency})

    return make


def test_trials_are_in_the_judges_account_under_their_trace(
    store: JudgmentStore, settings: Callable[..., Settings]
) -> None:
    with open_panel(settings()) as panel:
        assert panel.prove(store, "t") == {"stub": ""}
    taken = Account("stub", calls=2, requests=2, tokens_in=200, tokens_out=20, cost=pytest.approx(2 * A_CALL))
    assert store.accounts() == store.accounts("t") == [taken]
    assert store.accounts("another") == []
    assert store.spent() == pytest.approx(2 * A_CALL)
    assert (store.lost_calls(), store.totals().judgments) == (0, 0)


def test_a_judge_that_fails_its_trial_has_paid_for_it(
    stub: ChatStub, store: JudgmentStore, settings: Callable[..., Settings]
) -> None:
    stub.play = lambda body, times: Say("prose")
    with open_panel(settings(retries=2)) as panel:
        assert "unparsable" in panel.prove(store, "t")["stub"]
    assert len(stub.bodies) == 6
    assert store.spent() == pytest.approx(6 * A_CALL)
    stub.play = lambda body, times: Status(401)
    with open_panel(settings()) as panel:
        assert "was refused" in panel.prove(store, "t")["stub"]
    assert store.spent() == pytest.approx(6 * A_CALL)


def test_nothing_is_tried_that_could_pass_what_is_left(
    stub: ChatStub, store: JudgmentStore, settings: Callable[..., Settings], pairs: Callable[..., list[Pair]]
) -> None:
    with open_panel(settings(100.0)) as panel:
        panel.judge("stub", pairs(*(f"w{number}" for number in range(20))), store)
    asked = len(stub.bodies)
    with open_panel(settings(store.spent() + 0.1)) as panel, pytest.raises(BudgetExceededError) as raised:
        panel.prove(store, "t")
    assert "Raise `budget.currency`" in raised.value.remedy
    assert len(stub.bodies) == asked
    with JudgmentStore(str(store._engine.url)) as later:
        assert later.lost_calls() == 0, "what was not asked is not in flight"


def test_a_retry_of_a_trial_that_could_pass_the_budget_stops_the_run_and_is_no_fault_of_the_judge(
    stub: ChatStub, store: JudgmentStore, settings: Callable[..., Settings]
) -> None:
    stub.play = lambda body, times: Say("prose", tokens_in=600)
    limit = 3.0  # not much over 1 is reserved for a request
    with open_panel(settings(limit, retries=9)) as panel, pytest.raises(BudgetExceededError):
        panel.prove(store, "t")
    assert limit / 3 < store.spent() <= limit
    assert sum(account.requests for account in store.accounts()) == len(stub.bodies)


def test_what_was_tried_counts_when_pairs_are_judged(
    stub: ChatStub, store: JudgmentStore, settings: Callable[..., Settings], pairs: Callable[..., list[Pair]]
) -> None:
    stub.play = lambda body, times: Say('{"grade": 1}', tokens_in=600)
    limit = 4.0
    with open_panel(settings(limit)) as panel:
        panel.prove(store, "t")
        with pytest.raises(BudgetExceededError):
            panel.judge("stub", pairs(*(f"w{number}" for number in range(20))), store)
    assert store.spent() == pytest.approx(0.61 * len(stub.bodies))
    assert limit / 2 < store.spent() <= limit


def test_a_conversation_by_which_an_agent_proves_itself_is_one_call(
    stub: ChatStub, store: JudgmentStore, settings: Callable[..., Settings]
) -> None:
    looks = ("search_knowledge", json.dumps({"query": "capital of France"}))
    grades = ("submit_grade", json.dumps({"grade": 3, "reason": "so"}))
    stub.play = lambda body, times: Call((looks if len(body["messages"]) < 4 else grades,))
    with open_panel(settings(knowledge=True), knowledge=NoKnowledge) as panel:
        assert panel.prove(store, "t") == {"stub": ""}
    (account,) = store.accounts("t")
    assert (account.calls, account.requests) == (1, len(stub.bodies))
    assert store.spent() == pytest.approx(len(stub.bodies) * A_CALL)
