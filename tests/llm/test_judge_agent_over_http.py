"""Judges that search, behind a real server on this machine and over a real Chroma."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from chat_stub import Call, ChatStub, Move, Say, Status

from serm.agents.panel import open_panel
from serm.agents.shard_report import ShardReport
from serm.core import Pair, Settings
from serm.core.errors import ConfigError
from serm.storage.chroma import Floats
from serm.storage.judgments import JudgmentStore
from serm.storage.knowledge import Knowledge, open_knowledge
from serm.storage.trace import Span, SpanKind, Tracer, read_spans

SEARCH = Call((("search_knowledge", '{"query": "shoes for winter", "k": 2}'),))
Config = Callable[..., Settings]


def submit(grade: int) -> Call:
    return Call((("submit_grade", json.dumps({"grade": grade, "reason": "so"})),))


class Letters:
    """Fulfils `Embedder`: how often a text has each letter."""

    id = "letters"

    def embed_documents(self, texts: Sequence[str]) -> Floats:
        counts = np.array([[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])
        vectors = counts.astype(np.float32) + 0.01
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)

    def embed_queries(self, texts: Sequence[str]) -> Floats:
        return self.embed_documents(texts)


def knowledge_of(folder: Path, *documents: str) -> Knowledge:
    pairs = pd.DataFrame({"text": list(documents)})
    labels = pd.DataFrame(
        {
            "query_id": ["q1"],
            "doc_id": ["d1"],
            "query": ["winter boots"],
            "text": ["boots for snow"],
            "grade": [3],
            "outcome": ["unanimous"],
        }
    )
    return open_knowledge(folder, None, Letters(), pairs, labels)


@pytest.fixture
def knowledge(tmp_path: Path) -> Iterator[Knowledge]:
    with knowledge_of(tmp_path / "knowledge", "shoes for winter", "a summer hat", "[one]", "[two]") as made:
        yield made


@pytest.fixture
def judge(stub: ChatStub) -> dict[str, Any]:
    return {"backend": f"{stub.url}#stub", "name": "j", "knowledge": True}


def turn(body: dict[str, Any]) -> int:
    return sum(message["role"] == "assistant" for message in body["messages"])


def search_then(*grades: int) -> Callable[[dict[str, Any], int], Move]:
    """The server searches first; path n gets grade n."""
    return lambda body, _: SEARCH if turn(body) == 0 else submit(grades[body["seed"] - 7])


@pytest.fixture
def run(
    store: JudgmentStore, settings_with: Config, pairs: Callable[..., list[Pair]], judge: dict[str, Any]
) -> Callable[..., ShardReport]:
    """Have the judge grade a pair for each word, over a knowledge base."""

    def ask(knowledge: Knowledge, *words: str, **sections: Any) -> ShardReport:
        with open_panel(settings_with(judge, **sections), knowledge=lambda: knowledge) as panel:
            return panel.judge("j", pairs(*words), store)

    return ask


def test_each_path_is_a_conversation_that_searches_and_grades(
    stub: ChatStub, store: JudgmentStore, run: Callable[..., ShardReport], knowledge: Knowledge
) -> None:
    stub.play = search_then(1, 2, 2)
    prices = {"stub": {"input": 1.0, "output": 10.0}}
    sections: Any = {"agreement": {"paths": 3}, "llm": {"prices": prices, "timeout": 5}}
    report = run(knowledge, "one", "two", **sections)
    assert (report.asked, report.graded, report.requests) == (2, 2, 12)
    again = run(knowledge, "one", "two", **sections)
    assert (again.recorded, again.requests) == (2, 0)
    (judgment,) = store.for_pair("q-one", "d-one")
    assert (judgment.grade, judgment.paths, judgment.rationale) == (2, (1, 2, 2), "so")
    assert (judgment.tokens_in, judgment.tokens_out, judgment.requests) == (600, 60, 6)
    assert judgment.cost == pytest.approx(6 * (100 * 1 + 10 * 10) / 1e6)

    bodies = [body for body in stub.bodies if "[one]" in body["messages"][1]["content"]]
    assert [tool["function"]["name"] for tool in bodies[0]["tools"]] == ["search_knowledge", "submit_grade"]
    assert {body["tool_choice"] for body in bodies} == {"required"}
    told = [json.loads(body["messages"][3]["content"]) for body in bodies if turn(body) == 1]
    assert len(told) == 3
    for answer in told:
        assert answer["judged_pairs"][0]["grade"] == 3
        texts = [passage["text"] for passage in answer["passages"]]
        assert len(texts) == 2
        assert texts[0] == "shoes for winter"
        assert "[one]" not in texts, "the document itself is no evidence"


def test_one_pair_whose_conversation_goes_wrong_moves_no_other(
    stub: ChatStub, store: JudgmentStore, run: Callable[..., ShardReport], knowledge: Knowledge
) -> None:
    moves: dict[str, Move] = {
        "broken": Call((("search_knowledge", '{"query": '),)),
        "unknown": Call((("google", '{"query": "a"}'),)),
        "prose": Say("It is relevant, I think."),
        "searching": SEARCH,
        "huge": submit(9),
        "plain": Say('{"grade": 0, "reason": "no"}'),
    }
    names = ("good", *moves, "fine")

    def play(body: dict[str, Any], _: int) -> Move:
        text = body["messages"][1]["content"]
        return next((move for word, move in moves.items() if f"[{word}]" in text), submit(2))

    stub.play = play
    report = run(knowledge, *names)
    assert dict(report.failures) == {"tool": 4, "unparsable": 1}
    said = {name: item for name in names for item in store.for_pair(f"q-{name}", f"d-{name}")}
    grades = {name: item.grade for name, item in said.items() if item.failure is None}
    assert grades == {"good": 2, "plain": 0, "fine": 2}
    assert said["broken"].failure is not None
    assert said["broken"].failure.message == "search_knowledge: the arguments are not a JSON object."
    assert max(turn(body) for body in stub.bodies) == 3, "two searches, one too many, and once more"

    moves.clear()
    again = run(knowledge, *names)
    assert (again.asked, again.graded) == (5, 8), "failures alone are asked again"


def test_its_steps_are_in_the_trace_of_sampled_calls_and_of_failed_ones(
    stub: ChatStub, run: Callable[..., ShardReport], knowledge: Knowledge, tmp_path: Path
) -> None:
    def traced(sample: float, word: str) -> tuple[list[Span], list[Span]]:
        tracer = Tracer(tmp_path / "traces.sqlite", word)
        with tracer.active():
            run(knowledge, word, tracing={"sample": sample})
        tracer.close()
        spans = read_spans(tmp_path / "traces.sqlite", word)
        calls = [item for item in spans if item.kind is SpanKind.CALL]
        return calls, [item for item in spans if item.parent_id in {call.span_id for call in calls}]

    stub.play = search_then(3)
    (call,), (search, grade) = traced(1.0, "sampled")
    assert (search.name, search.kind, grade.name) == ("search_knowledge", SpanKind.TOOL, "submit_grade")
    assert search.inputs == {"given": '{"query": "shoes for winter", "k": 2}'}
    assert json.loads(search.outputs)["judged_pairs"][0]["grade"] == 3
    assert call.started <= search.started <= search.ended <= grade.started <= grade.ended <= call.ended
    assert call.outputs == {"grade": 3, "rationale": "so"}

    assert traced(0.0, "quiet") == ([], [])
    stub.play = lambda body, _: Say("prose")
    (call,), steps = traced(0.0, "failed")
    assert call.error.startswith("unparsable")
    assert [(step.name, bool(step.error)) for step in steps] == [("answer", True)] * 2


def test_more_knowledge_asks_again_and_the_same_does_not(
    stub: ChatStub, run: Callable[..., ShardReport], tmp_path: Path
) -> None:
    stub.play = search_then(1)
    asked = []
    for documents in (["a hat"], ["a hat"], ["a hat", "a shoe"]):
        with knowledge_of(tmp_path / "knowledge", *documents) as knowledge:
            asked.append(run(knowledge, "one").asked)
    assert asked == [1, 0, 1]


def test_a_server_without_tools_says_why_it_cannot_be_such_a_judge(
    stub: ChatStub, settings_with: Config, judge: dict[str, Any], knowledge: Knowledge
) -> None:
    def fault(move: Move) -> str:
        stub.play = lambda body, _: move
        with open_panel(settings_with(judge), knowledge=lambda: knowledge) as panel:
            return panel.prove()["j"]

    assert fault(submit(3)) == ""
    assert "answers without calling a tool" in fault(Say('{"grade": 3, "reason": "so"}'))
    refused = fault(Status(400, "this model knows no tools"))
    assert "was refused" in refused
    assert "this model knows no tools" in refused


@pytest.mark.parametrize("backend", ["replay:a.csv#x", "simulated:accuracy=0.9"])
def test_judges_that_call_no_tools_cannot_search(settings_with: Config, backend: str) -> None:
    with pytest.raises(ConfigError, match="calls no tools"):
        open_panel(settings_with({"backend": backend, "knowledge": True}), {})


def test_a_judge_that_searches_needs_something_to_search(
    settings_with: Config, judge: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="searches a knowledge base, and there is none here") as error:
        open_panel(settings_with(judge))
    assert "leave out `knowledge`" in error.value.remedy


def test_its_prompt_is_the_agents_where_none_is_named(
    settings_with: Config, judge: dict[str, Any], knowledge: Knowledge
) -> None:
    def prompt_hash(**sections: Any) -> str:
        with open_panel(settings_with({**judge, **sections}), knowledge=lambda: knowledge) as panel:
            return panel.members["j"].judge.prompt_hash

    assert prompt_hash() == prompt_hash(prompt="agent") != prompt_hash(prompt="umbrela")
