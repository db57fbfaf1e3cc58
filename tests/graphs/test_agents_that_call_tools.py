"""Under `policy: llm` a chat model decides, and the trace shows what it called and what it was told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from small_world import world

from serm.core import Settings
from serm.core.settings_miner import DEFAULT_AGENTS
from serm.graphs import evolve
from serm.storage.trace import Span, SpanKind, read_spans


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "args": arguments}]}


SCRIPT = {
    "agents": {
        "uncertainty": [
            call("score_uncertainty", measure="margin", top=30),
            call("nominate", candidates="c1", count=5, reason="the model cannot tell two grades apart"),
            call("finish", reason="five are enough"),
        ],
        "drift": [call("detect_drift"), call("finish", reason="I have seen the report")],
        "chair": [
            call("peer_vote", rule="unanimous"),
            call("submit_labels", vote_id="v1", reason="all judges agree on these"),
        ],
        "planner": [
            call("set_quotas", quotas={"uncertainty": 20, "drift": 4, "disagreement": 8, "feedback": 8}),
            call("submit_plan", reason="clicks say nothing here"),
        ],
        "disagreement": [call("no_such_tool"), call("no_such_tool_either")],
    },
    "turns": [{"content": "I would rather not."}, {"content": "No."}],
}


def run_scripted(folder: Path, encoder: Path) -> tuple[dict[str, Any], list[Span]]:
    folder.mkdir(exist_ok=True)
    (folder / "script.yaml").write_text(yaml.safe_dump(SCRIPT), encoding="utf-8")
    agents = {"policy": "llm", "llm": "scripted:script.yaml"}
    config = world(folder, encoder, agents=agents, evolution={"rounds": 1})
    config["miner"]["agents"] = dict.fromkeys((*DEFAULT_AGENTS, "click_model"), 1)
    settings = Settings.from_mapping(config, folder=folder, environment={})
    report = evolve(settings).rounds[1]
    return report, read_spans(settings.workspace_path / "traces.sqlite", report["trace_id"])


def spans_under(spans: list[Span], agent: str) -> list[Span]:
    top = next(item for item in spans if item.kind is SpanKind.AGENT and item.name == agent)
    return [item for item in spans if item.parent_id == top.span_id]


def test_the_models_tool_calls_and_their_results_are_in_the_trace(tmp_path: Path, tiny_encoder: Path) -> None:
    report, spans = run_scripted(tmp_path / "world", tiny_encoder)

    def tool(agent: str, name: str) -> Span:
        return next(s for s in spans_under(spans, agent) if s.kind is SpanKind.TOOL and s.name == name)

    scorer = tool("uncertainty", "score_uncertainty")
    assert scorer.inputs == {"measure": "margin", "top": 30}
    assert "c1" in scorer.outputs
    assert "p_value" in tool("drift", "detect_drift").outputs
    vote = tool("chair", "peer_vote")
    assert vote.inputs == {"rule": "unanimous"}
    assert "unanimous" in vote.outputs
    assert tool("chair", "submit_labels").inputs["reason"] == "all judges agree on these"

    by_agent: Mapping[str, Span] = {s.name: s for s in spans if s.kind is SpanKind.AGENT}
    assert by_agent["uncertainty"].attributes["policy"] == "scripted:script.yaml"
    assert not by_agent["uncertainty"].attributes["fell_back"]
    for broken in ("disagreement", "feedback"):  # one calls what is not there, the other calls nothing
        assert by_agent[broken].attributes["fell_back"]
        assert by_agent[broken].attributes["policy"] == "rules"
    fallen = {s.name for s in spans if s.kind is SpanKind.AGENT and s.attributes.get("fell_back")}
    assert set(report["fell_back"]) == fallen
    assert fallen >= {"disagreement", "feedback"}
    assert "uncertainty" not in fallen
    assert report["fell_back"]["feedback"]["model"] == "scripted:script.yaml"
    assert report["fell_back"]["feedback"]["reason"] == by_agent["feedback"].attributes["reason"]
    assert report["counts"]["mined"] == 40
    plan = tool("planner", "set_quotas")
    assert sum(json.loads(plan.outputs)["pairs"].values()) == 40
    told = by_agent["planner"].inputs["task"]
    assert all(word in told for word in ("drift", "calibration_error", "languages", "last_yield"))
    assert "click_model" not in report["counts"]["mined_by"]  # it has no quota, and is not asked
    assert by_agent["click_model"].attributes["policy"] == "rules"


def test_spans_nest_from_round_to_tool(tmp_path: Path, tiny_encoder: Path) -> None:
    _, spans = run_scripted(tmp_path / "world", tiny_encoder)
    by_id = {item.span_id: item for item in spans}

    def ancestry(item: Span) -> list[SpanKind]:
        kinds = [item.kind]
        while item.parent_id:
            item = by_id[item.parent_id]
            kinds.append(item.kind)
        return kinds

    tool = next(item for item in spans if item.kind is SpanKind.TOOL)
    inside_a_graph = [SpanKind.NODE, SpanKind.GRAPH, SpanKind.NODE, SpanKind.ROUND]
    assert ancestry(tool) == [SpanKind.TOOL, SpanKind.AGENT, *inside_a_graph]
    shard = next(item for item in spans if item.kind is SpanKind.SHARD)
    assert ancestry(shard) == [SpanKind.SHARD, *inside_a_graph]
