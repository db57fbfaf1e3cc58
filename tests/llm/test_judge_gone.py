"""A judge that goes away in the middle: the run stops, and goes on once it is back as if nothing had been."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from annotating import asked, number, say, write_config, write_pairs
from chat_stub import ChatStub, Drop, Move, Say, Status, grade
from small_world import world
from test_annotate_over_http import labels_of

from serm.agents.panel import open_panel
from serm.agents.watch import AT_THE_END, IN_A_ROW
from serm.cli.main import run
from serm.core import Pair, Settings
from serm.core.errors import BudgetExceededError, JudgeError
from serm.graphs import evolve
from serm.storage.judgments import JudgmentStore

pytestmark = pytest.mark.slow  # servers that go away, and come back

SettingsWith = Callable[..., Settings]
PairsOf = Callable[..., list[Pair]]
QUOTA = Status(429, "You exceeded your current quota", kind="insufficient_quota")
TRIALS = 2
"""Requests by which a judge proves itself, where it does."""


def is_trial(body: dict[str, Any]) -> bool:
    return "capital of France" in body["messages"][-1]["content"]


class Account:
    """A provider's account of model `two`: so many good answers, then `away`. `right` are their grades."""

    def __init__(self, stub: ChatStub, good: int, away: Move = QUOTA) -> None:
        self.stub, self.good, self.away, self.trials = stub, good, away, 0

    def play(self, body: dict[str, Any], _: int) -> Move:
        if body["model"] != "two":
            return say(number(body) % 3)
        with self.stub.lock:
            self.good -= 1
            self.trials += is_trial(body)
            return self.away if self.good < 0 else say(number(body) % 3 if number(body) % 5 else 0)


@pytest.mark.parametrize(("shard", "away"), [(8, QUOTA), (20, Status(503)), (100, Drop())])
def test_a_quota_that_ends_stops_the_labelling_and_a_larger_one_ends_it_with_the_labels_of_a_calm_run(
    stub: ChatStub, tmp_path: Path, capfd: pytest.CaptureFixture[str], shard: int, away: Move
) -> None:
    pairs, calm, out = write_pairs(tmp_path, 100), tmp_path / "calm.csv", tmp_path / "labels.csv"
    stub.play = Account(stub, 1_000).play
    config = write_config(tmp_path, stub, "one", "two", workspace="calm", llm={"shard": shard})
    assert run(["annotate", str(pairs), "--config", str(config), "--out", str(calm)]) == 0
    assert {outcome for outcome, _ in labels_of(calm).values()} == {"unanimous", "dropped"}

    stub.bodies.clear()
    stub.play = Account(stub, TRIALS + 33, away).play
    config = write_config(tmp_path, stub, "one", "two", workspace="work", llm={"shard": shard})
    command = ["annotate", str(pairs), "--config", str(config), "--out", str(out)]
    assert run(command) == 5
    told = capfd.readouterr().err
    assert "judge `two` has stopped working" in " ".join(told.split())
    assert "run the same command" in " ".join(told.split())
    assert not out.exists()
    first = asked(stub, "two")
    # Failures that pass a grade on its way do not count towards IN_A_ROW; on a busy machine they are many.
    assert 33 < len(first) < 100, "it is not asked for all"

    stub.play = Account(stub, 1_000).play
    assert run(command) == 0
    assert labels_of(out) == labels_of(calm)
    again = asked(stub, "two")[len(first) :]
    assert len(again) == 100 - 33, "those that it had answered are not asked again, and all others are"
    assert max(Counter(asked(stub, "one")).values()) == 1


def test_the_loop_stops_with_its_round_open_and_goes_on_with_the_labels_of_a_calm_run(
    stub: ChatStub, tmp_path: Path, tiny_encoder: Path
) -> None:
    def outcome(workspace: str) -> dict[str, Any]:
        config = world(
            tmp_path,
            tiny_encoder,
            workspace=workspace,
            evolution={"rounds": 1},
            llm={"shard": 10, "concurrency": 2, "retries": 0, "timeout": 10},
        )
        judges = {"SERM_JUDGES": f"{stub.url}#one,{stub.url}#two"}
        settings = Settings.from_mapping(config, folder=tmp_path, environment=judges)
        counts: dict[str, Any] = evolve(settings).rounds[1]["counts"]
        return {name: counts[name] for name in ("labelled", "outcomes", "grades")}

    stub.play = Account(stub, 1_000).play
    calm = outcome("calm")
    assert calm["labelled"] == 40
    stub.play = Account(stub, TRIALS + 15).play
    with pytest.raises(JudgeError, match="judge `two` has stopped working") as error:
        outcome("work")
    assert "run the same command" in error.value.remedy
    stub.play = Account(stub, 1_000).play
    assert outcome("work") == calm


@pytest.mark.parametrize("concurrency", [1, 16])
def test_pairs_that_a_content_filter_refuses_are_their_own_failures_and_cost_a_proof(
    stub: ChatStub,
    store: JudgmentStore,
    settings_with: SettingsWith,
    pairs: PairsOf,
    concurrency: int,
) -> None:
    def play(body: dict[str, Any], _: int) -> Move:
        return Status(400, "content filter") if "[bad" in body["messages"][-1]["content"] else grade(2)

    stub.play = play
    words = ["good-0", *(f"bad-{n}" for n in range(50)), "good-1"]
    llm = {"concurrency": concurrency, "timeout": 10}
    with open_panel(settings_with({"backend": f"{stub.url}#stub", "logprobs": "off"}, llm=llm)) as panel:
        report = panel.judge("stub", pairs(*words), store)
    assert (report.graded, dict(report.failures)) == (2, {"refused": 50})
    trials = sum(map(is_trial, stub.bodies))
    assert 1 <= trials <= 2 * (50 // IN_A_ROW)
    assert store.totals().judgments == 52


def test_many_calls_that_fail_at_a_time_cause_one_proof_and_stop_every_shard(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    stub.play = lambda body, _: Status(503)
    llm = {"concurrency": 16, "timeout": 10, "retries": 0}
    with open_panel(settings_with(f"{stub.url}#stub", llm=llm)) as panel, ThreadPoolExecutor(3) as threads:
        shards = [pairs(*(f"s{shard}-{n}" for n in range(60))) for shard in range(3)]
        futures = [threads.submit(panel.judge, "stub", shard, store) for shard in shards]
        errors = [future.exception() for future in futures]
        assert [type(error) for error in errors] == [JudgeError] * 3
        assert sum(map(is_trial, stub.bodies)) == 1
        assert len(stub.bodies) <= 1 + IN_A_ROW + 16
        assert store.totals().judgments == 0
        assert store.lost_calls() == 0

        with pytest.raises(JudgeError):  # it has not been seen at work since
            panel.judge("stub", shards[0], store)
        stub.play = lambda body, _: grade(1)
        assert panel.prove() == {"stub": ""}
        assert panel.judge("stub", shards[0], store).graded == 60


@pytest.mark.parametrize("count", [1, AT_THE_END - 1, AT_THE_END, 8])
def test_failures_at_the_end_of_a_shard_are_enough_unless_they_are_few(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf, count: int
) -> None:
    stub.play = lambda body, _: Status(503)
    shard = pairs(*(f"w{n}" for n in range(count)))
    with open_panel(settings_with(f"{stub.url}#stub", llm={"retries": 0, "timeout": 10})) as panel:
        if count < AT_THE_END:
            assert dict(panel.judge("stub", shard, store).failures) == {"server": count}
        else:
            with pytest.raises(JudgeError, match=f"{count} calls in a row failed"):
                panel.judge("stub", shard, store)


def test_failures_without_an_answer_between_them_do_not_add_up_over_answers(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    stub.play = lambda body, _: Status(403) if "[bad" in body["messages"][-1]["content"] else grade(2)
    words = [*(f"bad-{n}" if n % 10 else f"good-{n}" for n in range(100)), "good-100"]
    llm = {"concurrency": 1, "timeout": 10}
    with open_panel(settings_with({"backend": f"{stub.url}#stub", "logprobs": "off"}, llm=llm)) as panel:
        report = panel.judge("stub", pairs(*words), store)
    assert (report.graded, dict(report.failures)) == (11, {"refused": 90})
    assert not any(map(is_trial, stub.bodies))


def test_what_is_no_sign_of_absence_never_asks_for_a_proof(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    stub.play = lambda body, _: Say("prose")
    llm = {"concurrency": 4, "timeout": 10, "retries": 0}
    with open_panel(settings_with(f"{stub.url}#stub", llm=llm)) as panel:
        report = panel.judge("stub", pairs(*(f"w{n}" for n in range(30))), store)
    assert dict(report.failures) == {"unparsable": 30}
    assert not any(map(is_trial, stub.bodies))


def test_a_proof_is_paid_for_and_stays_within_the_budget(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    """A connection that breaks may have been answered, and costs the most that it can."""
    stub.play = lambda body, _: Drop()
    llm = {
        "prices": {"stub": {"input": 0, "output": 1_000_000 / 16}},  # a call costs 1
        "max_tokens": 16,
        "retries": 0,
        "timeout": 10,
        "concurrency": 1,
    }
    shard = pairs(*(f"w{n}" for n in range(30)))
    settings = settings_with(f"{stub.url}#stub", llm=llm, budget={"currency": IN_A_ROW})
    with open_panel(settings) as panel, pytest.raises(BudgetExceededError):
        panel.judge("stub", shard, store)
    assert (len(stub.bodies), store.spent()) == (IN_A_ROW, IN_A_ROW)
    assert store.totals().judgments == 0
    settings = settings_with(f"{stub.url}#stub", llm=llm, budget={"currency": 1_000})
    with open_panel(settings) as panel, pytest.raises(JudgeError):
        panel.judge("stub", shard, store)
    assert store.spent() == 2 * IN_A_ROW + 1, "the trial too"
