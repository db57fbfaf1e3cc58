"""`serm trace` shows a round as a tree that a person can read, also one that was killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from serm.cli.main import run
from serm.cli.trace_tree import Usage, render_tree, usage_under
from serm.core import Settings
from serm.storage.span_tree import build_tree
from serm.storage.trace import SpanKind, Tracer, read_spans, span
from serm.storage.workspace import Workspace


def write_round(workspace: Workspace, number: int, trace_id: str, *, calls: int = 1) -> None:
    tracer = Tracer(workspace.traces, trace_id)
    with tracer.active(), span(f"round {number}", SpanKind.ROUND):
        with span("mine", SpanKind.NODE, round=number), span("uncertainty", SpanKind.AGENT) as agent:
            agent.attributes |= {"policy": "scripted", "fell_back": True, "reason": "two bad calls"}
            with span("scripted", SpanKind.MODEL) as turn:
                turn.attributes |= {"tokens_in": 90, "tokens_out": 10}
            with span("score_uncertainty", SpanKind.TOOL, top=50) as tool:
                tool.outputs = '{"candidates": "c1"}'
        with span("annotate", SpanKind.NODE, round=number):
            for judge in ("ann", "sim"):
                with span(f"judge {judge}", SpanKind.SHARD, judge=judge) as shard:
                    shard.attributes["simulated"] = judge == "sim"
                    shard.outputs = {"asked": 20, "recorded": 3, "graded": 19, "failed": 1}
                    shard.outputs |= {"requests": 22, "tokens": 5000, "cost": 0.25}
                    for _ in range(calls):
                        with span("call", SpanKind.CALL) as call:
                            call.error = "timeout: 60 s"
    tracer.close()


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    values = {"data": {"sources": [{"pairs": "pairs.parquet"}]}, "workspace": "work"}
    with Workspace.open(Settings.from_mapping(values, folder=tmp_path, environment={})) as opened:
        yield opened


def finish_round(workspace: Workspace, number: int, trace_id: str) -> None:
    folder = workspace.rounds / f"{number:03d}"
    folder.mkdir()
    report = {"round": number, "trace_id": trace_id, "window": {"name": "web"}}
    (folder / "round.json").write_text(json.dumps(report), encoding="utf-8")


def shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert run(["trace", str(tmp_path / "work"), *arguments]) == 0
    return capsys.readouterr().out


def test_a_round_is_shown_with_times_calls_tokens_and_cost(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_round(workspace, 1, "aaa")
    finish_round(workspace, 1, "aaa")
    lines = shown(tmp_path, capsys).splitlines()
    assert lines[0].startswith("round 1  ")
    assert lines[0].endswith("45 calls, 10,100 tokens, cost 0.50")
    (tool,) = (line for line in lines if "score_uncertainty" in line)
    assert "top=50" in tool
    assert '→ {"candidates": "c1"}' in tool
    (agent,) = (line for line in lines if "agent uncertainty" in line)
    assert "fell back to rules: two bad calls" in agent
    (simulated,) = (line for line in lines if "SIMULATED" in line)
    assert "judge sim" in simulated
    assert "20 asked, 3 recorded, 19 graded, 1 failed" in simulated
    assert sum("✗ timeout: 60 s" in line for line in lines) == 2


def test_the_newest_finished_round_is_shown_unless_another_is_named(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in ((1, "aaa"), (2, "bbb"), (3, "ccc")):
        write_round(workspace, number, name)
    finish_round(workspace, 1, "aaa")
    finish_round(workspace, 2, "bbb")
    assert shown(tmp_path, capsys).startswith("round 2 ")
    assert shown(tmp_path, capsys, "--round", "1").startswith("round 1 ")
    assert shown(tmp_path, capsys, "--round", "3").startswith("round 3 ")  # not finished, but traced


def test_a_round_that_was_killed_is_shown_as_far_as_it_came(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracer = Tracer(workspace.traces, "killed")
    with tracer.active(parent="the round's span, never written"), span("mine", SpanKind.NODE, round=1):
        pass
    tracer.close()
    assert shown(tmp_path, capsys).splitlines()[0].startswith("round (not finished)")


def test_a_round_that_was_never_run_is_an_error_that_names_those_that_were(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_round(workspace, 1, "aaa")
    assert run(["trace", str(tmp_path / "work"), "--round", "7"]) == 9
    error = capsys.readouterr().err
    assert "round 7 has no trace" in error
    assert "The rounds that were run: 1." in error


def test_many_alike_spans_are_counted_and_shown_when_asked_for(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_round(workspace, 1, "aaa", calls=40)
    text = shown(tmp_path, capsys)
    assert text.count("── call ") == 20
    assert text.count("… and 30 more of these (--all shows them)") == 2
    assert shown(tmp_path, capsys, "--all").count("── call ") == 80


def test_sampled_call_spans_are_not_counted_beside_their_shard(workspace: Workspace) -> None:
    write_round(workspace, 1, "aaa", calls=9)
    tree = build_tree(read_spans(workspace.traces, "aaa"))
    assert usage_under(tree, tree.root) == Usage(calls=45, tokens=10_100, cost=0.5)


def test_markup_in_a_judges_words_is_shown_as_it_stands(workspace: Workspace) -> None:
    tracer = Tracer(workspace.traces, "aaa")
    with tracer.active(), span("round 1", SpanKind.ROUND), span("tool", SpanKind.TOOL) as tool:
        tool.outputs = "[bold]not markup[/bold]"
    tracer.close()
    console = Console(width=200)
    with console.capture() as captured:
        console.print(render_tree(build_tree(read_spans(workspace.traces, "aaa"))))
    assert "[bold]not markup[/bold]" in captured.get()


def test_the_spans_of_a_round_are_to_be_had_whole(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracer = Tracer(workspace.traces, "aaa")
    long = "a reason that goes on and on, " * 20
    with tracer.active(), span("round 1", SpanKind.ROUND), span("mine", SpanKind.NODE, round=1):
        with span("chair", SpanKind.AGENT) as agent:
            agent.attributes |= {"fell_back": True, "reason": long}
        with span("finish", SpanKind.TOOL, reason=long) as tool:
            tool.error = long
    tracer.close()
    finish_round(workspace, 1, "aaa")
    whole = " ".join(long.split())
    assert whole not in " ".join(shown(tmp_path, capsys).split())
    assert " ".join(shown(tmp_path, capsys, "--full").split()).count(whole) == 3
    spans = json.loads(shown(tmp_path, capsys, "--json"))
    assert spans == [{**asdict(item)} for item in read_spans(workspace.traces, "aaa")]
    assert next(item for item in spans if item["name"] == "chair")["attributes"]["reason"] == long
    assert run(["trace", str(tmp_path / "work"), "--json", "--pair", "q", "d"]) == 2
    assert "Leave one of them out" in capsys.readouterr().err
