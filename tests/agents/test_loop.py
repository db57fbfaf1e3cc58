import ast
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphInterrupt
from langgraph.graph import START, StateGraph
from pydantic import BaseModel

from serm.agents.loop import AgentOutcome, run_agent
from serm.agents.tool_calls import call_tool
from serm.core.errors import AgentError, BudgetExceededError, StorageError
from serm.llm.brake import StopRequestedError
from serm.storage.trace import Span, SpanKind, Tracer, read_spans, span


class Count(BaseModel):
    number: int


class Counter:
    """A desk with one tool: the work is done when the sum reaches ten."""

    def __init__(self) -> None:
        self.total = 0
        self.error: Exception | None = None

    def tools(self) -> list[BaseTool]:
        def add(number: int) -> str:
            if self.error is not None:
                raise self.error
            if number > 10:
                raise ToolException("ten at most.")
            if number == 8:
                raise ZeroDivisionError("a bug")
            self.total += number
            return json.dumps({"total": self.total})

        return [StructuredTool.from_function(add, name="add", description="Add.", args_schema=Count)]

    def reset(self) -> None:
        self.total = 0

    @property
    def done(self) -> bool:
        return self.total >= 10


class Policy:
    """Plays given turns; an exception among them is raised."""

    def __init__(self, *turns: AIMessage | Exception, label: str = "a model") -> None:
        self.turns, self.label, self.heard = list(turns), label, list[list[BaseMessage]]()

    def __call__(self, messages: Sequence[BaseMessage], tools: Sequence[BaseTool]) -> AIMessage:
        self.heard.append(list(messages))
        turn = self.turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return turn


def calls(*wanted: tuple[str, dict[str, Any]]) -> AIMessage:
    return AIMessage(
        "", tool_calls=[{"name": name, "args": args, "id": f"{i}"} for i, (name, args) in enumerate(wanted)]
    )


def add(number: object) -> AIMessage:
    return calls(("add", {"number": number}))


def run(desk: Counter, decide: Policy | None, *rules: AIMessage, max_steps: int = 6) -> AgentOutcome:
    return run_agent(
        "counter",
        decide,
        Policy(*(rules or (add(5), add(5))), label="rules"),
        desk.tools(),
        system="Count.",
        task="Reach ten.",
        max_steps=max_steps,
        finished=lambda: desk.done,
        reset=desk.reset,
    )


@pytest.fixture
def tracer(tmp_path: Path) -> Iterator[Tracer]:
    tracer = Tracer(tmp_path / "traces.sqlite", "t")
    with tracer.active():
        yield tracer
    tracer.close()


def spans(tmp_path: Path) -> list[Span]:
    return read_spans(tmp_path / "traces.sqlite", "t")


def test_agents_are_built_without_parsing_which_python_3_11_may_die_of_in_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def parse(*_: object, **__: object) -> None:
        raise SystemError("AST constructor recursion depth mismatch")

    with monkeypatch.context() as patched:
        patched.setattr(ast, "parse", parse)
        outcome = run(Counter(), None)
    assert outcome.calls == ("add", "add")


def test_without_a_model_the_rules_do_the_work() -> None:
    outcome = run(Counter(), None)
    assert (outcome.policy, outcome.fell_back, outcome.calls) == ("rules", False, ("add", "add"))


def test_a_model_hears_its_part_its_task_and_what_its_tools_said() -> None:
    policy = Policy(add(3), add(7))
    outcome = run(Counter(), policy)
    assert [message.text for message in policy.heard[0]] == ["Count.", "Reach ten."]
    assert policy.heard[1][-1].text == '{"total": 3}'
    assert (outcome.policy, outcome.fell_back, outcome.turns) == ("a model", False, 2)


@pytest.mark.parametrize(
    ("bad", "answer"),
    [
        (calls(("fly", {})), "there is no tool fly. You have add."),
        (add("many"), "number: Input should be a valid integer"),
        (add(11), "ten at most."),
        (calls(("add", {"type": "tool_call"})), "number: Field required"),
        (calls(("add", {"type": "tool_call", "args": "x", "id": "1"})), "number: Field required"),
        (add(8), "the tool add failed by itself: ZeroDivisionError: a bug"),
        (AIMessage("I shall think about it."), "You called no tool. Call one of add."),
        (
            AIMessage("", invalid_tool_calls=[{"name": "add", "args": "{", "id": "x", "error": None}]),
            "the arguments are not a JSON object.",
        ),
    ],
)
def test_one_bad_call_comes_back_to_the_model_and_two_in_a_row_fall_back(bad: AIMessage, answer: str) -> None:
    policy = Policy(bad, add(3), bad, add(7))
    outcome = run(Counter(), policy)
    assert not outcome.fell_back
    assert answer in policy.heard[1][-1].text
    desk = Counter()
    outcome = run(desk, Policy(add(3), bad, bad, add(7)))
    assert outcome.fell_back
    assert answer in outcome.reason
    assert desk.total == 10  # the rules started from scratch: 3 was forgotten


def test_two_bad_calls_in_one_message_are_two_in_a_row() -> None:
    outcome = run(Counter(), Policy(calls(("fly", {}), ("swim", {}))))
    assert outcome.fell_back


def test_a_model_that_loops_falls_back_when_its_turns_are_used_up() -> None:
    outcome = run(Counter(), Policy(*[add(0)] * 20))
    assert outcome.fell_back
    assert outcome.reason == "not done after 6 turns"


def test_a_dead_model_falls_back_at_once() -> None:
    outcome = run(Counter(), Policy(ConnectionError("nobody answers")))
    assert outcome.fell_back
    assert outcome.reason == "the model failed: ConnectionError: nobody answers"
    assert outcome.calls == ("add", "add")


@pytest.mark.parametrize("error", [StopRequestedError(), BudgetExceededError("no money")])
def test_what_stops_a_model_s_turn_stops_the_run_and_no_rules_go_on(error: Exception) -> None:
    with pytest.raises(type(error)):
        run(Counter(), Policy(error))


def test_calls_after_the_work_is_done_are_not_run() -> None:
    desk = Counter()
    run(desk, Policy(calls(("add", {"number": 10}), ("add", {"number": 10}))))
    assert desk.total == 10


def test_rules_that_fail_are_an_error_and_not_a_silent_end() -> None:
    with pytest.raises(AgentError, match="agent counter: its rules did not come to an end"):
        run(Counter(), None, *[add(0)] * 60)


def test_rules_may_take_more_turns_than_a_model() -> None:
    outcome = run(Counter(), None, *[add(1)] * 10, max_steps=2)
    assert outcome.turns == 10


def test_a_bug_in_a_tool_costs_a_model_its_part_and_is_in_the_trace_and_the_log(
    tracer: Tracer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = run(Counter(), Policy(add(8), add(8)))
    assert (outcome.policy, outcome.calls) == ("rules", ("add", "add"))
    failed = [s.error for s in spans(tmp_path) if s.kind is SpanKind.TOOL and s.error]
    assert failed == ["the tool add failed by itself: ZeroDivisionError: a bug"] * 2
    assert "the tool add failed, which is a bug of serm" in caplog.text
    assert "Traceback" in caplog.text


def test_a_bug_in_a_tool_under_rules_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run(Counter(), None, add(8))


@pytest.mark.parametrize(
    "error",
    [BudgetExceededError("no money"), StorageError("no disk"), StopRequestedError(), GraphInterrupt()],
)
def test_what_stops_a_run_passes_through_a_tool(error: Exception) -> None:
    desk = Counter()
    desk.error = error
    with pytest.raises(type(error)):
        call_tool({tool.name: tool for tool in desk.tools()}, "add", {"number": 1})


def test_the_trace_shows_each_turn_and_each_call_with_its_arguments_and_result(
    tracer: Tracer, tmp_path: Path
) -> None:
    with span("uncertainty", SpanKind.NODE):
        run(Counter(), Policy(add(3), add(7)))
    by_kind = {kind: [s for s in spans(tmp_path) if s.kind is kind] for kind in SpanKind}
    (agent,) = by_kind[SpanKind.AGENT]
    assert agent.parent_id == by_kind[SpanKind.NODE][0].span_id
    assert {s.parent_id for s in by_kind[SpanKind.MODEL] + by_kind[SpanKind.TOOL]} == {agent.span_id}
    assert [(s.name, s.inputs, s.outputs) for s in by_kind[SpanKind.TOOL]] == [
        ("add", {"number": 3}, '{"total": 3}'),
        ("add", {"number": 7}, '{"total": 10}'),
    ]
    assert by_kind[SpanKind.MODEL][0].outputs["tool_calls"] == [{"name": "add", "args": {"number": 3}}]
    assert agent.attributes == {"policy": "a model", "fell_back": False, "reason": "", "turns": 2}


def test_the_trace_says_that_an_agent_fell_back_and_why(tracer: Tracer, tmp_path: Path) -> None:
    run(Counter(), Policy(calls(("fly", {})), calls(("fly", {}))))
    agent = next(s for s in spans(tmp_path) if s.kind is SpanKind.AGENT)
    assert agent.attributes["fell_back"] is True
    assert "there is no tool fly" in agent.attributes["reason"]
    assert (agent.attributes["attempted"], agent.attributes["policy"]) == ("a model", "rules")
    failed = [s for s in spans(tmp_path) if s.name == "fly"]
    assert [s.error for s in failed] == ["there is no tool fly. You have add."] * 2
    assert all(
        s.parent_id == agent.span_id for s in spans(tmp_path) if s is not agent and s.name != "counter"
    )


def test_agents_in_parallel_threads_keep_their_spans_apart(tracer: Tracer, tmp_path: Path) -> None:
    def work(name: str) -> None:
        with span(name, SpanKind.NODE):
            run(Counter(), None)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(copy_context().run, work, f"node {i}") for i in range(8)]:
            future.result()
    found = {s.span_id: s for s in spans(tmp_path)}
    agents = [s for s in found.values() if s.kind is SpanKind.AGENT]
    assert sorted(found[s.parent_id or ""].name for s in agents) == [f"node {i}" for i in range(8)]
    for agent in agents:
        assert sum(s.parent_id == agent.span_id for s in found.values()) == 4


def test_an_error_message_answers_the_call_that_it_belongs_to() -> None:
    policy = Policy(calls(("add", {"number": 1}), ("fly", {})), add(9))
    run(Counter(), policy)
    answers = [message for message in policy.heard[1] if isinstance(message, ToolMessage)]
    assert [(message.tool_call_id, message.status) for message in answers] == [
        ("0", "success"),
        ("1", "error"),
    ]


def test_inside_a_checkpointed_graph_an_agent_leaves_spans_and_no_checkpoints(
    tracer: Tracer, tmp_path: Path
) -> None:
    class State(TypedDict, total=False):
        first: int
        second: int

    def node(name: str) -> Callable[[State], State]:
        def work(_: State) -> State:
            desk = Counter()
            with span(name, SpanKind.NODE):
                run(desk, None)
            return {name: desk.total}  # type: ignore[misc]

        return work

    graph = StateGraph(State)
    for name in ("first", "second"):
        graph.add_node(f"{name} node", node(name))
        graph.add_edge(START, f"{name} node")
    saver = InMemorySaver()
    compiled = graph.compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "1"}}
    assert compiled.invoke({}, config) == {"first": 10, "second": 10}
    assert set(saver.storage["1"]) == {""}  # the graph's own namespace alone
    assert not any("Reach ten" in str(item) for item in saver.list(config))
    found = {s.span_id: s for s in spans(tmp_path)}
    agents = [s for s in found.values() if s.kind is SpanKind.AGENT]
    assert sorted(found[s.parent_id or ""].name for s in agents) == ["first", "second"]
