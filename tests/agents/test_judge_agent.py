"""The judge that searches before it grades: what it may do, what it is told, when a path has failed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from serm.agents.judge_agent import JudgeAgent
from serm.agents.prompt import read_prompt
from serm.core.errors import BudgetExceededError, JudgeError, StorageError
from serm.core.records import Answer, Failure, FailureKind, Pair
from serm.core.settings_loop import KnowledgeSettings
from serm.llm.asking import Message, Reply, ToolCall, Turn
from serm.llm.base import cache_key
from serm.storage.knowledge import Found, JudgedPair, Passage

PAIR = Pair("q", "d", "red lamp", "a lamp that is red", "Lamp")
FOUND = Found((Passage("blue lamp", 0.8),), (JudgedPair("lamp", "a lamp", 2, "unanimous", 0.9),))


class Shelf:
    version = "v1"

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[tuple[str, int, Pair]] = []
        self.error = error

    def search(self, query: str, count: int, pair: Pair) -> Found:
        self.asked.append((query, count, pair))
        if self.error:
            raise self.error
        return FOUND


class Model:
    """Says given turns, one a request, and keeps what it was sent."""

    model, simulated, deterministic, remote = "m", False, False, True
    sampling: Mapping[str, object] = {"temperature": 0}

    def __init__(self, *turns: Turn | Failure | Exception) -> None:
        self.turns = list(turns)
        self.sent: list[list[Message]] = []
        self.offered: list[list[str]] = []
        self.paths: list[int] = []

    async def ask(self, *_: Any, **__: Any) -> Reply[Any]:
        raise AssertionError("an agent takes turns")

    async def turn(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]], *, path: int
    ) -> Reply[Turn]:
        self.sent.append(json.loads(json.dumps(messages)))
        self.offered.append([tool["function"]["name"] for tool in tools])
        self.paths.append(path)
        said = self.turns.pop(0)
        if isinstance(said, Exception):
            raise said
        account = {"tokens_in": 10, "tokens_out": 2, "cost": 0.5, "latency": 0.1, "requests": 1}
        if isinstance(said, Failure):
            return Reply(None, said, **account)  # type: ignore[arg-type]
        return Reply(said, None, **account)  # type: ignore[arg-type]

    async def close(self) -> None:
        pass


def search(query: str = "lamps", id: str = "s1") -> ToolCall:
    return ToolCall(id, "search_knowledge", json.dumps({"query": query}))


def submit(grade: object = 3, id: str = "g1") -> ToolCall:
    return ToolCall(id, "submit_grade", json.dumps({"grade": grade, "reason": "so"}))


def calls(*calls: ToolCall) -> Turn:
    return Turn("", calls)


def judge_over(model: Model, shelf: Shelf | None = None, **limits: int) -> JudgeAgent:
    return JudgeAgent("j", model, read_prompt("agent"), shelf or Shelf(), KnowledgeSettings(**limits))


def ask(model: Model, shelf: Shelf | None = None, path: int = 0, **limits: int) -> Answer:
    return asyncio.run(judge_over(model, shelf, **limits).answer(PAIR, path))


def test_it_searches_then_grades_and_the_account_is_summed() -> None:
    model, shelf = Model(calls(search("lamps")), calls(submit(3))), Shelf()
    answer = ask(model, shelf, path=4)
    assert (answer.grade, answer.rationale) == (3, "so")
    assert shelf.asked == [("lamps", 4, PAIR)]
    assert (answer.tokens_in, answer.tokens_out, answer.cost, answer.requests) == (20, 4, 1.0, 2)
    assert answer.latency == pytest.approx(0.2)
    assert model.paths == [4, 4], "one conversation is one path"
    first, second = model.sent
    assert [message["role"] for message in first] == ["system", "user"]
    assert second[2] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "s1",
                "type": "function",
                "function": {"name": "search_knowledge", "arguments": '{"query": "lamps"}'},
            }
        ],
    }
    told = json.loads(second[3].pop("content"))
    assert second[3] == {"role": "tool", "tool_call_id": "s1"}
    assert told["judged_pairs"] == [
        {"query": "lamp", "document": "a lamp", "grade": 2, "outcome": "unanimous", "similarity": 0.9}
    ]
    assert told["searches_left"] == 1
    steps = [(step.tool, step.given, step.error) for step in answer.steps]
    assert steps == [
        ("search_knowledge", '{"query": "lamps"}', ""),
        ("submit_grade", '{"grade": 3, "reason": "so"}', ""),
    ]
    assert json.loads(answer.steps[0].result) == told
    assert all(step.began <= step.ended for step in answer.steps)


def test_it_may_grade_without_a_search_and_answer_in_plain_json() -> None:
    assert ask(Model(calls(submit(1)))).grade == 1
    assert ask(Model(calls(search()), Turn('{"grade": 0, "reason": "no"}'))).grade == 0


def test_several_calls_of_one_turn_are_all_answered_and_the_grade_ends_it() -> None:
    model, shelf = Model(calls(search("a", "x"), search("b", "x")), calls(submit(2), search("c"))), Shelf()
    assert ask(model, shelf).grade == 2
    assert [query for query, *_ in shelf.asked] == ["a", "b"]
    ids = [message["tool_call_id"] for message in model.sent[1] if message["role"] == "tool"]
    assert ids == [call["id"] for call in model.sent[1][2]["tool_calls"]]
    assert len(set(ids)) == 2, "each call has an id of its own, whatever the server said"


def test_the_search_is_taken_away_when_it_is_used_up() -> None:
    model = Model(calls(search("a", "1")), calls(search("b", "2")), calls(submit()))
    assert ask(model, searches=2).grade == 3
    assert model.offered == [["search_knowledge", "submit_grade"]] * 2 + [["submit_grade"]]


WRONG = {
    "an unknown tool": (calls(ToolCall("1", "find it!", "{}")), "there is no tool find it!"),
    "no JSON": (calls(ToolCall("1", "search_knowledge", "{query")), "not a JSON object"),
    "a number of 5,000 digits": (
        calls(ToolCall("1", "search_knowledge", f'{{"query": {"9" * 5_000}}}')),
        "not a JSON object",
    ),
    "no object": (calls(ToolCall("1", "search_knowledge", '["a"]')), "not a JSON object"),
    "an empty query": (calls(search("")), "query: String should have at least 1 character"),
    "an unknown argument": (calls(ToolCall("1", "search_knowledge", '{"q": "a"}')), "query: Field required"),
    "a grade out of range": (calls(submit(7)), "grade 7"),
    "a grade that is no number": (calls(submit("high")), "no whole number under `grade`"),
    "a grade that is no JSON": (calls(ToolCall("1", "submit_grade", "3")), "no whole number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_malformed_call_is_told_once_then_the_path_fails(name: str) -> None:
    turn, says = WRONG[name]
    model = Model(turn, turn)
    answer = ask(model)
    assert answer.failure is not None
    assert answer.failure.kind is FailureKind.TOOL
    assert says in answer.failure.message
    assert answer.requests == 2
    told = model.sent[1][-1]
    assert told["role"] == "tool"
    assert says in told["content"]
    assert told["content"].startswith("Error: ")
    assert [bool(step.error) for step in answer.steps] == [True, True]
    repeated = model.sent[1][2]["tool_calls"][0]["function"]
    assert isinstance(json.loads(repeated["arguments"]), dict), "what a server could not read is not repeated"
    assert set(repeated["name"]) <= set("abcdefghijklmnopqrstuvwxyz_"), "likewise a name"

    mended = ask(Model(turn, calls(submit(1))))
    assert mended.grade == 1, "once is forgiven"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("I think it is relevant.", FailureKind.UNPARSABLE),
        ("", FailureKind.UNPARSABLE),
        ('{"grade": 9}', FailureKind.OUT_OF_RANGE),
    ],
)
def test_prose_is_told_once_then_the_path_fails(text: str, kind: FailureKind) -> None:
    model = Model(Turn(text), Turn(text))
    answer = ask(model)
    assert answer.failure is not None
    assert answer.failure.kind is kind
    assert model.sent[1][-1]["role"] == "user"
    assert "Call submit_grade" in model.sent[1][-1]["content"]
    assert ask(Model(Turn(text), calls(submit(0)))).grade == 0


def test_endless_searching_ends() -> None:
    model, shelf = Model(*[calls(search(f"lamp {n}", str(n))) for n in range(20)]), Shelf()
    answer = ask(model, shelf, searches=3)
    assert answer.failure is not None
    assert answer.failure.kind is FailureKind.TOOL
    assert "all your searches (3)" in answer.failure.message
    assert (len(shelf.asked), answer.requests) == (3, 5)
    many, shelf = Model(calls(*(search(f"lamp {n}", str(n)) for n in range(50))), calls(submit(1))), Shelf()
    assert ask(many, shelf, searches=3).grade == 1
    assert len(shelf.asked) == 3, "fifty calls in one turn are three searches and one fault"


def test_a_turn_that_did_not_come_is_that_failure_with_what_was_paid() -> None:
    answer = ask(Model(calls(search()), Failure(FailureKind.TIMEOUT, "no answer in time")))
    assert answer.failure == Failure(FailureKind.TIMEOUT, "no answer in time")
    assert (answer.requests, answer.cost, len(answer.steps)) == (2, 1.0, 1)


def test_money_that_runs_out_within_a_path_keeps_what_was_paid() -> None:
    answer = ask(Model(calls(search()), BudgetExceededError("no more")))
    assert answer.failure is not None
    assert answer.failure.kind is FailureKind.OVER_BUDGET
    assert answer.cost == 0.5
    with pytest.raises(BudgetExceededError):
        ask(Model(BudgetExceededError("no more")))


def test_a_knowledge_base_that_fails_is_a_failure_of_the_path_alone() -> None:
    answer = ask(Model(calls(search())), Shelf(StorageError("it is gone.", "Look.")))
    assert answer.failure == Failure(FailureKind.SERVER, "it is gone.")
    assert answer.cost == 0.5


def test_what_the_judge_may_know_is_part_of_the_cache_key() -> None:
    def key(**limits: int) -> str:
        return cache_key(judge_over(Model(), shelf, **limits), PAIR, 1)

    shelf = Shelf()
    first = key()
    assert key() == first
    assert len({first, key(searches=5), key(results=2)}) == 3
    shelf.version = "v2"
    assert key() != first


def test_grades_of_another_scale_are_mapped_and_offered() -> None:
    model = Model(calls(submit(1)))
    judge = JudgeAgent("j", model, read_prompt("agent"), Shelf(), KnowledgeSettings(), {0: 0, 1: 2})
    assert asyncio.run(judge.answer(PAIR, 0)).grade == 2
    assert judge._submit["function"]["parameters"]["properties"]["grade"]["enum"] == [0, 1]


@pytest.mark.parametrize(
    ("turns", "says"),
    [
        ([calls(search()), calls(submit())], ""),
        ([calls(submit())], ""),
        ([Turn("prose"), Turn("prose"), calls(search()), calls(submit())], ""),
        ([Turn('{"grade": 3}')] * 2, "answers without calling a tool"),
        ([Turn("prose")] * 4, "calls no tool (unparsable)"),
        ([calls(ToolCall("", "x", ""))] * 4, "calls no tool (tool): x: there is no tool"),
        ([calls(search()), Turn("prose"), Turn("prose")] * 2, "calls tools and comes to no grade"),
        ([Failure(FailureKind.TIMEOUT, "no answer in time")] * 2, "(timeout): no answer in time"),
    ],
)
def test_it_proves_that_its_model_calls_tools_or_says_why_not(turns: list[Any], says: str) -> None:
    fault = asyncio.run(judge_over(Model(*turns)).prove())
    assert says in fault
    assert bool(fault) == bool(says)


def test_a_refusal_for_good_is_an_error() -> None:
    model = Model(Failure(FailureKind.REFUSED, "HTTP 400: tools are not supported"))
    with pytest.raises(JudgeError, match="was refused: HTTP 400: tools are not supported"):
        asyncio.run(judge_over(model).prove())


def test_what_no_encoding_can_say_goes_neither_to_the_search_nor_back_to_the_server() -> None:
    half = ToolCall("1", "search_knowledge", r'{"query": "lamp \ud83d\u0000"}')
    model, shelf = Model(calls(half), calls(submit())), Shelf()
    assert ask(model, shelf).grade == 3
    assert shelf.asked[0][0] == "lamp \ufffd\ufffd"
    (repeated,) = model.sent[1][2]["tool_calls"]
    assert json.loads(repeated["function"]["arguments"]) == {"query": "lamp \ufffd\ufffd"}
