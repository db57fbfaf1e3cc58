"""A turn of an agent that broke off at `llm.max_tokens` says so: to the model, as a reason, in the trace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from chat_stub import Call, ChatStub, Move, Say
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from mining_desks import make_desk
from vllm_bench import Bench

from serm.agents.cut_off import cut_off, with_limit
from serm.agents.miners import mine_with
from serm.agents.policy import ChatPolicy, decider
from serm.core import Settings
from serm.core.settings_loop import LlmSettings
from serm.llm.chat import chat_model
from serm.llm.spec import parse_backend
from serm.storage.trace import Span, SpanKind, Tracer, read_spans

CUT = "cut off at `llm.max_tokens` = 16 tokens, which may be raised"
TORN = Call((("score_uncertainty", '{"measure": "mar'),), finish="length")


@tool
def nominate(count: int) -> str:
    """Nominate so many."""
    return ""


@pytest.fixture
def mined(
    stub: ChatStub, settings_with: Callable[..., Settings], tmp_path: Path
) -> Callable[[Move], list[Span]]:
    """The spans of an agent whose server answers this."""

    def mine(move: Move) -> list[Span]:
        stub.play = lambda body, _: move
        settings = settings_with(agents={"llm": f"{stub.url}#stub"}, llm={"max_tokens": 16})
        tracer = Tracer(tmp_path / "traces.sqlite", "t")
        with tracer.active():
            mine_with("uncertainty", make_desk(), decider(settings, "uncertainty"), 20)
        tracer.close()
        return read_spans(tmp_path / "traces.sqlite", "t")

    return mine


@pytest.mark.parametrize(
    ("move", "told"),
    [
        (Say("", finish="length"), f"You called no tool: your answer was {CUT}. Call one of "),
        (TORN, f"Error: the arguments are not a JSON object: the answer was {CUT}."),
    ],
    ids=["before its call", "within its call"],
)
def test_the_model_is_told_and_the_reason_says_it(
    stub: ChatStub, mined: Callable[[Move], list[Span]], move: Move, told: str
) -> None:
    agent = next(item for item in mined(move) if item.kind is SpanKind.AGENT)
    assert told in stub.bodies[1]["messages"][-1]["content"]
    assert told in agent.attributes["reason"]


def test_what_is_wrong_with_a_whole_answer_is_not_laid_on_the_limit(
    mined: Callable[[Move], list[Span]],
) -> None:
    whole = Call((("score_uncertainty", '{"measure": "mar'),))
    assert not any("max_tokens" in str((item.error, item.attributes)) for item in mined(whole))


def test_of_several_calls_the_last_one_alone_was_cut_off(mined: Callable[[Move], list[Span]]) -> None:
    both = Call((("fly", "{}"), ("score_uncertainty", '{"measure": "mar')), finish="length")
    first, second = [item.error for item in mined(both) if item.kind is SpanKind.TOOL and item.error][:2]
    assert "there is no tool fly" in first
    assert ("max_tokens" in first, CUT in second) == (False, True)


def test_the_trace_has_malformed_arguments_as_the_model_wrote_them(
    mined: Callable[[Move], list[Span]],
) -> None:
    spans = mined(Call((("score_uncertainty", '{"measure": MALFORMED'),)))
    model = next(item for item in spans if item.kind is SpanKind.MODEL)
    (called,) = model.outputs["tool_calls"]
    assert called == {"name": "score_uncertainty", "args": {"arguments": '{"measure": MALFORMED'}}
    used = next(item for item in spans if item.kind is SpanKind.TOOL)
    assert used.inputs == {"arguments": '{"measure": MALFORMED'}


def test_a_model_in_this_process_tells_of_it_too(bench: Bench) -> None:
    bench.play = lambda wish, times: '{"name": "nomi'
    model = chat_model(parse_backend("vllm:m"), LlmSettings())
    answer = ChatPolicy(model, "uncertainty", "vllm:m", max_tokens=16)([HumanMessage("[x]")], [nominate])
    assert (answer.tool_calls, cut_off(answer)) == ([], CUT)


def test_a_model_in_this_process_decides_where_a_loop_runs_as_in_a_notebook(bench: Bench) -> None:
    bench.play = lambda wish, times: '{"name": "nominate", "arguments": {"count": 3}}'
    model = chat_model(parse_backend("vllm:m"), LlmSettings())

    async def notebook() -> AIMessage:
        return ChatPolicy(model, "uncertainty", "vllm:m")([HumanMessage("[x]")], [nominate])

    (call,) = asyncio.run(notebook()).tool_calls
    assert (call["name"], call["args"]) == ("nominate", {"count": 3})


def test_providers_names_for_it_are_known_and_a_whole_answer_stays_the_same_one() -> None:
    whole = AIMessage("so", response_metadata={"finish_reason": "stop"})
    assert with_limit(whole, 16) is whole
    assert cut_off(whole) == ""
    cut = AIMessage("so", response_metadata={"stop_reason": "max_tokens"})
    assert cut_off(with_limit(cut, 16)) == CUT
    assert cut_off(cut) == "cut off at `llm.max_tokens`, which may be raised", "of an earlier version"
