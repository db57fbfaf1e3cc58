"""The whole loop with judges behind a real server, chosen by one variable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chat_stub import ChatStub, Move, Say, Status, grade
from small_world import world

from serm.core import Settings
from serm.core.errors import JudgeError
from serm.graphs import evolve
from serm.graphs.control import Control
from serm.storage.judgments import JudgmentStore


def settings_in(folder: Path, encoder: Path, judges: str) -> Settings:
    config = world(folder, encoder, evolution={"rounds": 1})
    return Settings.from_mapping(config, folder=folder, environment={"SERM_JUDGES": judges})


def test_one_variable_swaps_the_judges_for_a_server(
    stub: ChatStub, tmp_path: Path, tiny_encoder: Path
) -> None:
    settings = settings_in(tmp_path, tiny_encoder, f"{stub.url}#small,{stub.url}#large")
    report = evolve(settings).rounds[1]
    assert {body["model"] for body in stub.bodies} == {"small", "large"}
    assert report["simulated_judges"] == []
    assert report["counts"]["outcomes"] == {"unanimous": 40}
    judging = report["counts"]["judging"]
    assert (judging["judgments"], judging["failures"], judging["lost_calls"]) == (80, 0, 0)
    assert judging["tokens_in"] >= 80 * 100
    accounts = {item["judge"]: item for item in report["counts"]["accounts"]}
    assert set(accounts) == {"small", "large"}
    assert judging["requests"] == 80
    requests = sum(item["requests"] for item in accounts.values())
    assert requests == len(stub.bodies) == 80 + 2 * 2, "those that proved the judges are in their accounts"


def test_a_judge_that_talks_instead_of_grading_fails_its_pairs_and_no_other_judges(
    stub: ChatStub, tmp_path: Path, tiny_encoder: Path
) -> None:
    def play(body: dict[str, Any], _: int) -> Move:
        chatty = body["model"] == "chatty" and "lamp" in body["messages"][-1]["content"]
        return Say("That depends on what you mean by relevant.") if chatty else grade(1)

    stub.play = play
    settings = settings_in(tmp_path, tiny_encoder, f"{stub.url}#calm,{stub.url}#chatty")
    counts = evolve(settings).rounds[1]["counts"]
    assert set(counts["outcomes"]) == {"unanimous", "failed"}
    assert counts["outcomes"]["failed"] == counts["judging"]["failures"]
    assert counts["grades"] == {"1": counts["outcomes"]["unanimous"]}


@pytest.mark.slow
def test_a_stop_while_judges_are_asked_ends_with_the_calls_in_flight(
    stub: ChatStub, tmp_path: Path, tiny_encoder: Path
) -> None:
    config = world(tmp_path, tiny_encoder, evolution={"rounds": 1}, llm={"concurrency": 2, "shard": 40})
    judges = f"{stub.url}#small,{stub.url}#large"
    settings = Settings.from_mapping(config, folder=tmp_path, environment={"SERM_JUDGES": judges})
    control = Control()

    def play(body: dict[str, Any], _: int) -> Move:
        if len(stub.bodies) == 20:
            control.request_drain()
        return Say('{"grade": 2}', after=0.02)

    stub.play = play
    stopped = evolve(settings, control=control)
    assert (stopped.stop, len(stopped.rounds)) == ("", 1)
    asked = len(stub.bodies)
    assert asked <= 20 + 2 * 2  # of 80, and those that prove the judges
    with JudgmentStore(f"sqlite:///{settings.workspace_path / 'judgments.sqlite'}") as store:
        assert store.lost_calls() == 0
    assert evolve(settings).rounds[1]["counts"]["labelled"] == 40
    messages = [str(body["messages"]) + body["model"] for body in stub.bodies]
    assert len(messages) - len(set(messages)) <= 2  # the proofs of a judge alone were asked twice


def test_judges_prove_themselves_within_the_budget_and_what_that_took_is_counted(
    stub: ChatStub, tmp_path: Path, tiny_encoder: Path
) -> None:
    def settings(currency: float) -> Settings:
        config = world(
            tmp_path,
            tiny_encoder,
            evolution={"rounds": 1},
            llm={"prices": {"small": {"input": 1_000, "output": 1_000}}, "max_tokens": 16},
            budget={"pairs_per_round": 4, "currency": currency},
        )
        environment = {"SERM_JUDGES": f"{stub.url}#small"}
        return Settings.from_mapping(config, folder=tmp_path, environment=environment)

    broke = evolve(settings(0.5))
    assert "could pass the budget of 0.5" in broke.stop
    assert (len(broke.rounds), stub.bodies) == (1, [])
    assert not broke.ended
    whole = evolve(settings(100.0))
    assert whole.ended
    (account,) = whole.rounds[1]["counts"]["accounts"]
    assert (account["judgments"], account["calls"], account["requests"]) == (4, 6, 6)
    assert account["cost"] == pytest.approx(len(stub.bodies) * 0.11)  # 100 tokens read, 10 written
    with JudgmentStore(f"sqlite:///{settings(1.0).workspace_path / 'judgments.sqlite'}") as store:
        assert store.spent() == pytest.approx(account["cost"])


def test_a_refused_key_stops_the_run_before_anything_is_mined(
    stub: ChatStub, tmp_path: Path, tiny_encoder: Path
) -> None:
    stub.play = lambda body, times: Status(401, "wrong key") if body["model"] == "large" else grade(2)
    settings = settings_in(tmp_path, tiny_encoder, f"{stub.url}#small,{stub.url}#large")
    with pytest.raises(JudgeError, match="large"):
        evolve(settings)
    assert not list((settings.workspace_path / "samples").iterdir())
    stub.play = lambda body, times: grade(2)
    assert evolve(settings).rounds[1]["counts"]["labelled"] == 40
