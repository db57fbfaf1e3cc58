import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from mining_desks import make_desk

from serm.agents.miners import RULES, SCORERS, agent_prompts, mine_with
from serm.agents.policy import decider
from serm.core.errors import ConfigError
from serm.core.records import PairKey
from serm.core.settings import Settings
from serm.core.settings_miner import AGENT_NAMES, AgentName
from serm.storage.trace import Span, SpanKind, Tracer, read_spans
from serm.tools.desk import MiningDesk
from serm.tools.selection import select

NOMINATE = {"name": "nominate", "args": {"candidates": "c1", "count": 7, "reason": "a model thinks so"}}
FINISH = {"name": "finish", "args": {"reason": "that is all"}}
SCRIPT: dict[AgentName, list[dict[str, Any]]] = {
    "feedback": [{"name": "find_engaged_low", "args": {"dwell_engaged": 10}}],
    "click_model": [{"name": "fit_click_model", "args": {}}],
    "uncertainty": [{"name": "score_uncertainty", "args": {"measure": "margin", "language": "de"}}],
    "disagreement": [{"name": "score_disagreement", "args": {"pool": 50}}],
    "drift": [{"name": "detect_drift", "args": {"max_regions": 3}}],
}
AGENTS = tuple(SCRIPT)
"""The default ones, and the click model."""


def settings(folder: Path, script: dict[str, list[list[dict[str, Any]]]] | None, policy: str) -> Settings:
    """Settings whose agents play `script`: for each agent a list of turns, each a list of calls."""
    if script is not None:
        agents = {name: [{"tool_calls": turn} for turn in turns] for name, turns in script.items()}
        (folder / "script.yaml").write_text(yaml.safe_dump({"agents": agents}))
    return Settings.from_mapping(
        {
            "data": {"sources": [{"pairs": "pairs.parquet"}]},
            "agents": {"policy": policy, "llm": "scripted:script.yaml" if script is not None else None},
        },
        folder=folder,
        environment={},
    )


@pytest.fixture
def trace(tmp_path: Path) -> Iterator[Tracer]:
    tracer = Tracer(tmp_path / "traces.sqlite", "t")
    with tracer.active():
        yield tracer
    tracer.close()


def spans(folder: Path, kind: SpanKind) -> list[Span]:
    return [item for item in read_spans(folder / "traces.sqlite", "t") if item.kind is kind]


def mine(desk: MiningDesk, config: Settings, quota: int = 20) -> dict[str, pd.DataFrame]:
    """The default agents and the click model in parallel, as the miner graph runs them."""
    with ThreadPoolExecutor(len(AGENTS)) as pool:
        futures = {
            name: pool.submit(
                copy_context().run, mine_with, name, desk, decider(config, name), quota, max_steps=6
            )
            for name in AGENTS
        }
        return {name: future.result() for name, future in futures.items()}


def test_agents_nominate_by_their_rules(tmp_path: Path) -> None:
    nominations = mine(make_desk(queries=120), settings(tmp_path, None, "auto"))
    for name, frame in nominations.items():
        assert 0 < len(frame) <= 20, name
        assert frame.columns.tolist() == ["query_id", "doc_id", "agent", "score", "reason"]
        assert set(frame["agent"]) == {name}
        assert frame["score"].dtype == float


def test_rules_nominate_the_same_pairs_every_time(tmp_path: Path) -> None:
    first, second = (mine(make_desk(queries=120), settings(tmp_path, None, "rules")) for _ in range(2))
    for name in AGENTS:
        pd.testing.assert_frame_equal(first[name], second[name])


def test_under_a_model_the_trace_holds_its_tool_calls_and_their_results(
    trace: Tracer, tmp_path: Path
) -> None:
    script = {name: [[call] for call in [*look, NOMINATE, FINISH]] for name, look in SCRIPT.items()}
    nominations = mine(make_desk(queries=120), settings(tmp_path, script, "llm"))
    assert all(len(frame) == 7 for frame in nominations.values())
    agents = {item.name: item for item in spans(tmp_path, SpanKind.AGENT)}
    assert set(agents) == set(AGENTS)
    assert not any(agent.attributes["fell_back"] for agent in agents.values())
    tools = {item.name: item for item in spans(tmp_path, SpanKind.TOOL)}
    scorer, detector = tools["score_uncertainty"], tools["detect_drift"]
    assert scorer.parent_id == agents["uncertainty"].span_id
    assert scorer.inputs == {"measure": "margin", "language": "de"}
    assert json.loads(scorer.outputs)["size"] > 0
    assert detector.parent_id == agents["drift"].span_id
    assert json.loads(detector.outputs)["p_value"] <= 0.05
    assert json.loads(detector.outputs)["regions"]
    turns = [item for item in spans(tmp_path, SpanKind.MODEL) if item.parent_id == agents["drift"].span_id]
    assert [turn.outputs["tool_calls"][0]["name"] for turn in turns] == ["detect_drift", "nominate", "finish"]
    assert all(turn.attributes["simulated"] for turn in turns)


def test_a_model_can_look_in_several_ways_and_nominate_from_each(tmp_path: Path) -> None:
    look = [{"name": "score_uncertainty", "args": {"language": name}} for name in ("de", "en")]
    take = [{"name": "nominate", "args": {"candidates": c, "count": 10, "reason": c}} for c in ("c1", "c2")]
    config = settings(tmp_path, {"uncertainty": [look, take]}, "llm")
    desk = make_desk()
    frame = mine_with("uncertainty", desk, decider(config, "uncertainty"), 20)
    assert frame["reason"].str.extract(r": (c\d)$")[0].tolist() == ["c1"] * 10 + ["c2"] * 10
    rows = [desk.row_of[PairKey(q, d)] for q, d in zip(frame["query_id"], frame["doc_id"], strict=True)]
    assert desk.window["language"].iloc[rows].tolist() == ["de"] * 10 + ["en"] * 10


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([[{"name": "score_uncertainty", "args": {}}]] * 9, "not done after 6 turns"),
        ([[{"name": "read_minds", "args": {}}]] * 9, "there is no tool read_minds"),
        (
            [[{"name": "nominate", "args": {"candidates": "c1", "count": 1, "reason": "x"}}]] * 9,
            "no candidate list",
        ),
        ([*[[call] for call in SCRIPT["uncertainty"]], *[[FINISH]] * 3], "nominated none"),
        ([[FINISH]] * 9, "not looked yet"),
        (
            [
                [{"name": "score_uncertainty", "args": {}}],
                *[[{"name": "nominate", "args": {"candidates": "c1", "count": 9_000, "reason": "all"}}]] * 9,
            ],
            "more than your quota leaves",
        ),
        ([[{"name": "describe_window", "args": {}}]], "the model failed: AgentError"),  # the script is over
    ],
)
def test_a_model_that_does_not_do_its_work_is_replaced_by_the_rules(
    turns: list[list[dict[str, Any]]], reason: str, trace: Tracer, tmp_path: Path
) -> None:
    desk = make_desk()
    config = settings(tmp_path, {"uncertainty": turns}, "llm")
    frame = mine_with("uncertainty", desk, decider(config, "uncertainty"), 20, max_steps=6)
    pd.testing.assert_frame_equal(frame, mine_with("uncertainty", desk, None, 20))
    fallen = spans(tmp_path, SpanKind.AGENT)[0]
    assert fallen.attributes["fell_back"] is True
    assert reason in fallen.attributes["reason"]


@pytest.mark.parametrize("agent", ["feedback", "click_model"])
def test_an_agent_without_feedback_in_the_log_nominates_nothing_and_says_why(
    agent: str, trace: Tracer, tmp_path: Path
) -> None:
    assert len(mine_with(agent, make_desk(logged=False), None, 20)) == 0
    end = spans(tmp_path, SpanKind.TOOL)[-1]
    assert end.name == "finish"
    assert end.inputs["reason"].startswith("the log has no")


def test_without_drift_the_drift_agent_nominates_nothing_and_says_why(trace: Tracer, tmp_path: Path) -> None:
    assert len(mine_with("drift", make_desk(queries=120, drifted=False), None, 20)) == 0
    assert spans(tmp_path, SpanKind.TOOL)[-1].inputs["reason"].startswith("no drift: p = ")


def test_the_drift_agent_nominates_from_the_new_region(tmp_path: Path) -> None:
    desk = make_desk(queries=150, seed=2)
    frame = mine_with("drift", desk, None, 30)
    assert len(frame) == 30
    assert frame["reason"].str.contains("queries like these are new").all()


def test_a_quota_of_nothing_is_no_error() -> None:
    desk = make_desk(queries=120)
    assert all(len(mine_with(name, desk, None, 0)) == 0 for name in AGENTS)


def test_a_window_that_is_all_labelled_is_no_error() -> None:
    desk = make_desk(queries=120)
    done = make_desk(queries=120, labelled=frozenset(desk.row_of))
    assert all(len(mine_with(name, done, None, 20)) == 0 for name in AGENTS)


def test_the_nominations_of_all_agents_fill_a_sample(tmp_path: Path) -> None:
    desk = make_desk(queries=120, agents=dict.fromkeys(AGENTS, 1.0))
    nominations = mine(desk, settings(tmp_path, None, "rules"), quota=60)
    sample = select(pd.concat(nominations.values(), ignore_index=True), desk, 100)
    assert len(sample) == 100
    assert set(sample["agent"]) == set(AGENTS)


def test_every_agent_has_rules_tools_and_a_prompt() -> None:
    assert set(RULES) == set(SCORERS) == set(agent_prompts()["agents"]) == set(AGENT_NAMES)


def test_auto_takes_a_model_where_one_is_named_and_the_rules_otherwise(tmp_path: Path) -> None:
    script = {"drift": [[FINISH]]}
    assert decider(settings(tmp_path, None, "auto"), "drift") is None
    assert decider(settings(tmp_path, script, "rules"), "drift") is None
    named = decider(settings(tmp_path, script, "auto"), "drift")
    assert named is not None
    assert named.label == "scripted:script.yaml"


def test_policy_llm_without_a_model_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"agents\.llm"):
        decider(settings(tmp_path, None, "llm"), "drift")


def test_an_agent_without_a_pair_to_choose_scores_nothing(trace: Tracer, tmp_path: Path) -> None:
    desk = make_desk()
    object.__setattr__(desk, "stochastic", lambda _: pytest.fail("passes cost time"))
    assert mine_with("disagreement", desk, None, 0).empty
    trace.close()
    (agent,) = spans(tmp_path, SpanKind.AGENT)
    assert "no pair" in agent.outputs["last"]
