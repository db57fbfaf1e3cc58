"""Judges that are agents, in the whole loop: they search what earlier rounds left, and the trace shows it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from small_world import distinct_pairs, world

from serm.core import Settings
from serm.core.columns import document_text
from serm.core.errors import JudgeError
from serm.graphs import annotate, evolve
from serm.graphs.resources import Resources
from serm.storage.trace import Span, SpanKind, read_spans


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "args": arguments}]}


SEARCH_AND_GRADE = [call("search_knowledge", query="red lamp"), call("submit_grade", grade=2, reason="so")]


PAIRS = distinct_pairs(queries_per_month=10)


def settings_in(folder: Path, encoder: Path, *turns: Any, **sections: Any) -> Settings:
    folder.mkdir(exist_ok=True)
    (folder / "judge.yaml").write_text(yaml.safe_dump({"turns": list(turns)}), encoding="utf-8")
    judges = [{"backend": "scripted:judge.yaml", "name": n, "knowledge": True} for n in ("ann", "bob")]
    config = world(
        folder,
        encoder,
        PAIRS,
        judges=judges,
        budget={"pairs_per_round": 20},
        tracing={"sample": 1.0},
        **sections,
    )
    return Settings.from_mapping(config, folder=folder, environment={})


def searches(settings: Settings, report: dict[str, Any]) -> list[tuple[Span, dict[str, Any]]]:
    """The call span of each search of a round, and what the search found."""
    spans = read_spans(settings.workspace_path / "traces.sqlite", report["trace_id"])
    calls = {item.span_id: item for item in spans if item.kind is SpanKind.CALL}
    tools = [item for item in spans if item.kind is SpanKind.TOOL and item.name == "search_knowledge"]
    return [(calls[str(item.parent_id)], json.loads(item.outputs)) for item in tools]


@pytest.mark.slow
def test_judges_find_labels_of_earlier_rounds_and_no_others(tmp_path: Path, tiny_encoder: Path) -> None:
    settings = settings_in(tmp_path / "w", tiny_encoder, *SEARCH_AND_GRADE, evolution={"rounds": 2})
    _, first, second = evolve(settings).rounds
    assert first["counts"]["labelled"] == second["counts"]["labelled"] == 20
    assert first["simulated_judges"] == ["ann", "bob"]

    found = searches(settings, first)
    assert len(found) == 40
    assert all(answer["passages"] and not answer["judged_pairs"] for _, answer in found)
    found = searches(settings, second)
    assert len(found) == 40
    assert all(answer["passages"] and answer["judged_pairs"] for _, answer in found)
    assert {pair["grade"] for _, answer in found for pair in answer["judged_pairs"]} == {2}
    span, _ = found[0]
    assert (span.outputs["grade"], span.attributes["simulated"]) == (2, True)

    with Resources(settings) as resources:
        windows = pd.concat([resources.pairs(1), resources.pairs(2)])
        knowledge = resources.knowledge(2)
        texts = set(document_text(windows["title"], windows["text"]))
        assert knowledge.sizes == {"passages": len(texts), "judged": 20}
        version = knowledge.version
        assert resources.knowledge(1).sizes["judged"] == 0, "what a round may know does not grow afterwards"
        assert resources.knowledge(2).version == version


def test_a_judge_that_calls_no_tools_stops_the_round_before_it_costs(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    settings = settings_in(tmp_path / "w", tiny_encoder, '{"grade": 2, "reason": "so"}')
    with pytest.raises(JudgeError, match="answers without calling a tool"):
        evolve(settings)


def test_annotate_searches_the_documents_of_the_pairs_themselves(tmp_path: Path, tiny_encoder: Path) -> None:
    settings = settings_in(tmp_path / "w", tiny_encoder, *SEARCH_AND_GRADE)
    pairs = PAIRS.head(12).drop(columns="grade")
    found = annotate(pairs, settings)
    assert found.labels["grade"].tolist() == [2] * 12
    assert found.counts["simulated_judges"] == ["ann", "bob"]
    (database,) = settings.workspace_path.rglob("traces.sqlite")
    with sqlite3.connect(database) as connection:
        told = connection.execute("SELECT outputs FROM spans WHERE name = 'search_knowledge'").fetchall()
    answers = [json.loads(json.loads(outputs)) for (outputs,) in told]
    assert len(answers) == 24
    texts = set(document_text(pairs["title"], pairs["text"]))
    for answer in answers:
        assert answer["judged_pairs"] == []
        assert 0 < len(answer["passages"]) <= 4
        assert {passage["text"] for passage in answer["passages"]} <= {
            text.replace("\n", " ") for text in texts
        }
