"""A retry that could pass the budget ends the asking, as a first request does: no pair fails for good."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from chat_stub import ChatStub, Move, Say, grade
from rich.console import Console
from small_world import world

from serm.agents.panel import open_panel
from serm.cli.evolve import tell
from serm.core import Pair, Settings
from serm.core.errors import BudgetExceededError
from serm.graphs import annotate, evolve
from serm.storage.judgments import JudgmentStore

SettingsWith = Callable[..., Settings]
PairsOf = Callable[..., list[Pair]]
PRICES = {"stub": {"input": 1_000, "output": 1_000}}
"""A token costs a thousandth: an answer of the stub .11, and the most that a request can cost some 2."""


def prose_of(word: str, tokens: int) -> Callable[[dict[str, Any], int], Move]:
    """Grades all pairs, and the one that holds `word` only when it is asked again: prose comes first."""

    def play(body: dict[str, Any], times: int) -> Move:
        mute = times == 0 and f"[{word}]" in body["messages"][-1]["content"]
        return Say("I would say two", tokens_in=tokens) if mute else grade(2)

    return play


def test_a_retry_that_could_pass_the_budget_is_not_made_and_leaves_no_failed_judgment(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    stub.play = lambda body, times: Say("prose", tokens_in=1_000, tokens_out=100)
    llm = {"prices": PRICES, "max_tokens": 128, "retries": 9}
    settings = settings_with(f"{stub.url}#stub", llm=llm, budget={"currency": 5})
    with open_panel(settings) as panel, pytest.raises(BudgetExceededError, match="budget of 5"):
        panel.judge("stub", pairs("a"), store)
    assert len(stub.bodies) > 1
    assert store.spent() == pytest.approx(1.1 * len(stub.bodies))
    assert store.spent() <= 5
    assert store.totals().judgments == store.lost_calls() == 0


def test_it_is_asked_again_under_a_larger_budget_and_what_the_others_cost_is_kept(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    mute, asked_for_w5 = prose_of("w5", tokens=4_000), threading.Event()

    def play(body: dict[str, Any], times: int) -> Move:
        said = body["messages"][-1]["content"]
        if "[w5]" in said:
            asked_for_w5.set()
        if "[w4]" in said:
            assert asked_for_w5.wait(20)  # so that it is in flight beside w5
        return mute(body, times)

    stub.play = play
    words = [f"w{number}" for number in range(9)]

    def settings(currency: float) -> Settings:
        llm = {"prices": PRICES, "max_tokens": 16, "concurrency": 2}
        return settings_with(f"{stub.url}#stub", llm=llm, budget={"currency": currency})

    with open_panel(settings(5.5)) as panel, pytest.raises(BudgetExceededError):
        panel.judge("stub", pairs(*words), store)
    answered = store.totals().judgments
    assert answered >= 4
    assert [judgment.grade for judgment in store.for_pair("q-w4", "d-w4")] == [2]
    assert store.for_pair("q-w5", "d-w5") == []
    assert len(stub.bodies) == answered + 1
    assert store.spent() == pytest.approx(0.11 * answered + 4.01)
    with open_panel(settings(100)) as panel:
        report = panel.judge("stub", pairs(*words), store)
    assert (report.graded, report.recorded, report.failed) == (9, answered, 0)
    assert stub.asked("[w5]") == 2
    assert len(stub.bodies) == len(words) + 1


def test_paths_that_answered_before_it_are_not_asked_again(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    stub.play = lambda body, times: Say("prose", tokens_in=3_000) if times == 1 else grade(2)

    def settings(currency: float) -> Settings:
        llm = {"prices": PRICES, "max_tokens": 16}
        sections = {"agreement": {"paths": 3}, "budget": {"currency": currency}}
        return settings_with(f"{stub.url}#stub", llm=llm, **sections)

    with open_panel(settings(4)) as panel, pytest.raises(BudgetExceededError):
        panel.judge("stub", pairs("a"), store)
    assert (len(stub.bodies), store.totals().judgments) == (2, 0)
    with open_panel(settings(100)) as panel:
        assert panel.judge("stub", pairs("a"), store).graded == 1
    assert len(stub.bodies) == 3, "two votes alike of three are a majority, and one was there"


def test_labels_say_that_the_money_ended_and_more_money_completes_them(
    stub: ChatStub, tmp_path: Path
) -> None:
    stub.play = prose_of("doc3", tokens=2_000)
    rows = [
        {"query_id": f"q{n}", "doc_id": f"d{n}", "query": "a query", "text": f"[doc{n}]"} for n in range(4)
    ]

    def labelled(currency: float) -> Any:
        values = {
            "judges": [f"{stub.url}#stub"],
            "agreement": {"min_judges": 1},
            "llm": {"prices": PRICES, "retries": 2, "max_tokens": 16, "concurrency": 1, "timeout": 20.0},
            "budget": {"currency": currency},
        }
        settings = Settings.from_mapping(values, folder=tmp_path, environment={})
        return annotate(pd.DataFrame(rows), settings)

    broke = labelled(4.0)
    assert "could pass the budget of 4" in broke.over_budget
    assert list(broke.labels["outcome"]) == ["unanimous"] * 3 + ["failed"]
    told = broke.counts["judges"]["stub"]
    assert (told["judgments"], told["failures"], told["over_budget"]) == (3, {}, 1)
    whole = labelled(100.0)
    assert whole.over_budget == ""
    assert list(whole.labels["grade"]) == [2] * 4


@pytest.mark.slow
def test_a_round_that_stopped_at_a_retry_labels_the_pair_once_there_is_money(
    stub: ChatStub, tmp_path: Path, tiny_encoder: Path
) -> None:
    asked: list[str] = []

    def play(body: dict[str, Any], times: int) -> Move:
        said = body["messages"][-1]["content"]
        if "capital of France" in said:
            return grade(2)  # its proof
        asked.extend([] if said in asked else [said])
        mute = times == 0 and asked.index(said) == 19
        return Say("I would say two", tokens_in=3_000) if mute else grade(asked.index(said) % 4)

    stub.play = play

    def run(currency: float) -> Any:
        config = world(
            tmp_path,
            tiny_encoder,
            judges=[f"{stub.url}#stub"],
            agreement={"min_judges": 1},
            llm={"prices": PRICES, "max_tokens": 16, "concurrency": 1, "shard": 20, "timeout": 20.0},
            budget={"pairs_per_round": 40, "currency": currency},
            gate={"enabled": False},
            evolution={"rounds": 1},
        )
        return evolve(Settings.from_mapping(config, folder=tmp_path, environment={}))

    broke = run(6.0)
    assert broke.out_of_money
    assert len(broke.rounds) == 1
    console = Console(record=True, width=200)
    tell(console, broke, tmp_path / "serm.yaml")
    told = console.export_text()
    assert "Stopped: " in told
    assert "Raise `budget.currency`, and `serm evolve" in told
    assert ".." not in told
    report = run(100.0).rounds[1]
    assert report["counts"]["outcomes"] == {"unanimous": 40}
    assert stub.asked(asked[19]) == 2
