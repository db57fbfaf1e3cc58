"""What rules made while the agents' model was away is not taken for the model's by the next command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from annotating import write_config, write_pairs
from chat_stub import Call, ChatStub, Move, Say, Status, grade
from small_world import world

from serm.core import Settings
from serm.graphs import annotate, evolve, mine
from serm.graphs.control import Control
from serm.graphs.events import Event

PLAN = (("set_quotas", '{"quotas": {"uncertainty": 40}}'), ("submit_plan", '{"reason": "all of it"}'))
MINED = (
    ("score_uncertainty", '{"measure": "margin"}'),
    ("nominate", '{"candidates": "c1", "count": 5, "reason": "the model said so"}'),
    ("finish", '{"reason": "five are enough"}'),
)
VOTE = (("peer_vote", '{"rule": "unanimous"}'), ("submit_labels", '{"vote_id": "v1", "reason": "strict"}'))


def tools(body: dict[str, Any]) -> set[str]:
    return {tool["function"]["name"] for tool in body.get("tools", ())}


def away(body: dict[str, Any], _: int) -> Move:
    return Status(500, "the model is loading") if tools(body) else grade(2)


def at_work(body: dict[str, Any], _: int) -> Move:
    offered = tools(body)
    if "set_quotas" in offered:
        return Call(PLAN)
    if "peer_vote" in offered:
        return Call(VOTE)
    if "nominate" in offered:
        return Call(MINED)
    return Say("I would rather not.") if offered else disagreeing(body)


def disagreeing(body: dict[str, Any]) -> Move:
    return grade(1 if body["model"] == "three" and "[w1]" in body["messages"][-1]["content"] else 2)


@pytest.fixture
def settings(stub: ChatStub, tmp_path: Path, tiny_encoder: Path) -> Settings:
    """Of a loop whose agents are decided for by the stub."""
    config = world(
        tmp_path,
        tiny_encoder,
        agents={"llm": f"{stub.url}#boss"},
        miner={"agents": {"uncertainty": 1}, "passes": 2, "pool": 60},
        evolution={"rounds": 1},
        llm={"retries": 0, "timeout": 20},
    )
    return Settings.from_mapping(config, folder=tmp_path, environment={})


def by_the_model(pairs: pd.DataFrame) -> int:
    return int(pairs["reason"].str.contains("the model said so").sum())


def test_mining_asks_the_model_again_once_it_is_there(stub: ChatStub, settings: Settings) -> None:
    stub.play = away
    assert set(mine(settings, "1").fell_back) == {"planner", "uncertainty"}
    stub.bodies.clear()
    assert set(mine(settings, "1").fell_back) == {"planner", "uncertainty"}
    assert {name for body in stub.bodies for name in tools(body)} >= {"set_quotas", "nominate"}
    stub.play = at_work
    found = mine(settings, "1")
    assert found.fell_back == {}
    assert found.nominated == {"uncertainty": 5}
    assert by_the_model(found.pairs)
    stub.bodies.clear()
    pd.testing.assert_frame_equal(mine(settings, "1").pairs, found.pairs)
    assert not stub.bodies, "what the model made is found again"
    report = evolve(settings).rounds[1]
    pd.testing.assert_frame_equal(pd.read_parquet(settings.workspace_path / report["sample"]), found.pairs)
    assert not any(tools(body) & {"set_quotas", "nominate"} for body in stub.bodies), "by the loop as well"


def test_a_round_keeps_what_it_has_gone_past_and_a_later_mine_does_not_take_it(
    stub: ChatStub, settings: Settings
) -> None:
    control = Control()

    def mined() -> set[Path]:
        return set((settings.workspace_path / "samples").glob("*/sample.parquet"))

    def stop_after_mining(event: Event) -> None:
        if event.step == "tell" and mined():
            control.request_drain()

    stub.play = away
    assert evolve(settings, on_event=stop_after_mining, control=control).stop == ""
    samples = mined()
    assert len(samples) == 1
    stub.play = at_work
    report = evolve(settings).rounds[1]
    assert settings.workspace_path / report["sample"] in samples
    assert report["fell_back"].keys() >= {"planner", "uncertainty"}
    assert "chair" not in report["fell_back"]
    assert all((settings.workspace_path / place).is_file() for place in report["nominations"].values())
    assert not by_the_model(pd.read_parquet(settings.workspace_path / report["sample"]))
    assert by_the_model(mine(settings, "1").pairs)


def test_an_annotation_asks_the_chair_again_once_it_is_there(stub: ChatStub, tmp_path: Path) -> None:
    path = write_config(
        tmp_path,
        stub,
        *("one", "two", "three"),
        agents={"llm": f"{stub.url}#boss"},
        agreement={"rule": "majority"},
    )
    config, pairs = Settings.from_yaml(path, environment={}), pd.read_csv(write_pairs(tmp_path, 8))
    stub.play = lambda body, times: away(body, times) if tools(body) else disagreeing(body)
    first = annotate(pairs, config)
    assert (first.counts["rule"], set(first.counts["fell_back"])) == ("majority", {"chair"})
    stub.play = at_work
    second = annotate(pairs, config)
    assert (second.counts["rule"], second.counts["fell_back"]) == ("unanimous", {})
    assert second.counts["outcomes"] == {"unanimous": 7, "dropped": 1}
    assert (first.folder / "labels.parquet").is_file(), "what was handed out is not taken away"
    stub.bodies.clear()
    assert annotate(pairs, config).folder == second.folder
    assert not stub.bodies
