"""Judges whose model vLLM runs in this process, over a stand-in for vLLM that the tests can look into."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from vllm_bench import MESSAGES, Bench, PairsOf, SettingsWith, answer, ask, word

from serm.agents.panel import Panel, open_panel
from serm.core import FailureKind
from serm.core.errors import AgentError, BudgetExceededError, MissingDependencyError
from serm.core.settings_loop import LlmSettings
from serm.llm import vllm_asker
from serm.llm.budget import Budget
from serm.llm.chat import chat_model
from serm.llm.engine import HiccupError, TooLongError, UnfitError
from serm.llm.parse import GradeReply
from serm.llm.spec import parse_backend
from serm.llm.weights import weights_revision
from serm.storage.judgments import JudgmentStore


def test_a_shard_is_handed_over_whole_whatever_the_concurrency_and_loads_one_model(
    bench: Bench, panel_with: Callable[..., Panel], store: JudgmentStore, pairs: PairsOf
) -> None:
    bench.together = 30
    with panel_with(llm={"concurrency": 2}) as panel:
        report = panel.judge("m", pairs(*(f"w{n}" for n in range(30))), store)
    assert (report.graded, bench.core.most) == (30, 30)
    assert len(bench.loaded) == 1


def test_a_failed_call_shifts_none_of_its_neighbours(
    bench: Bench, panel_with: Callable[..., Panel], store: JudgmentStore, pairs: PairsOf
) -> None:
    wrong = {"w3": UnfitError("malformed"), "w5": TooLongError("too long"), "w8": HiccupError("lost")}
    bench.play = lambda wish, times: wrong.get(word(wish)) or answer(int(word(wish)[1:]) % 4)
    bench.together = 10
    with panel_with(llm={"retries": 1}) as panel:
        panel.judge("m", pairs(*(f"w{n}" for n in range(10))), store)
    kinds = {"w3": FailureKind.REFUSED, "w5": FailureKind.TOO_LONG, "w8": FailureKind.SERVER}
    for number in range(10):
        (judgment,) = store.for_pair(f"q-w{number}", f"d-w{number}")
        kind = judgment.failure.kind if judgment.failure else None
        assert kind is kinds.get(f"w{number}")
        assert judgment.grade == (None if kind else number % 4)
        assert judgment.requests == (2 if number == 8 else 1)


def test_judges_of_one_model_share_it_and_other_arguments_are_another_engine(
    bench: Bench, panel_with: Callable[..., Panel], store: JudgmentStore, pairs: PairsOf
) -> None:
    two = ({"backend": "vllm:m", "name": "a"}, {"backend": "vllm:m", "name": "b", "prompt": "grade_only"})
    with panel_with(*two, llm={"vllm": {"max_model_len": 512}}) as panel:
        for name in panel.names:
            panel.judge(name, pairs("x"), store)
        assert bench.loaded == [("m", {"max_model_len": 512})]
        ask(bench.asker(vllm={"max_model_len": 1024}))
    assert len(bench.loaded) == 2
    assert {wish.messages[0]["content"] for wish in bench.cores[0].wishes} != set()
    assert len({str(wish.messages[0]) for wish in bench.cores[0].wishes}) == 2


def test_paths_have_temperatures_and_seeds_of_their_own_and_answers_are_held_to_the_schema(
    bench: Bench, panel_with: Callable[..., Panel], store: JudgmentStore, pairs: PairsOf
) -> None:
    grades = iter([3, 1, 3, 3])
    bench.play = lambda wish, times: answer(next(grades))
    with panel_with(agreement={"paths": 5}, llm={"max_tokens": 99}) as panel:
        panel.judge("m", pairs("x"), store)
    wishes = bench.core.wishes
    assert [(wish.temperature, wish.seed) for wish in wishes] == [(0.0, 7), (0.7, 8), (0.7, 9), (0.7, 10)]
    assert {wish.max_tokens for wish in wishes} == {99}
    assert all(wish.schema["properties"]["grade"]["enum"] == [0, 1, 2, 3] for wish in wishes)
    assert all(wish.schema["required"] == ["grade", "reason"] for wish in wishes)
    (judgment,) = store.for_pair("q-x", "d-x")
    assert (judgment.grade, judgment.paths, judgment.tokens_in) == (3, (3, 1, 3, 3), 400)


def test_log_probabilities_are_asked_for_the_tokens_of_the_grades(bench: Bench) -> None:
    assert ask(bench.asker()).tokens == ()
    assert bench.core.wishes[-1].watched == ()
    reply = ask(bench.asker(), logprobs=True)
    assert bench.core.wishes[-1].watched == ("0", "1", "2", "3")
    assert reply.tokens[0].text == answer(2)


def test_an_unreadable_answer_is_asked_for_again_with_another_seed_only_where_it_could_differ(
    bench: Bench,
) -> None:
    bench.play = lambda wish, times: '{"gra' if times == 0 else answer(1)
    reply = ask(bench.asker(retries=3), path=1)
    assert (reply.value, reply.requests) == (GradeReply(1, "said 1"), 2)
    assert [wish.seed for wish in bench.core.wishes] == [8, 8 + 1_000_003]
    bench.play = lambda wish, times: '{"gra'
    reply = ask(bench.asker(retries=3), path=0)
    assert (reply.failure.kind, reply.requests) == (FailureKind.UNPARSABLE, 1)
    assert "cut off after 10 tokens (`llm.max_tokens`)" in reply.failure.message


def test_a_stated_price_counts_against_the_budget(bench: Bench) -> None:
    budget = Budget(2_000)
    reply = ask(bench.asker(budget=budget, max_tokens=16))
    assert (reply.cost, budget.paid) == (110.0, 110.0)
    with pytest.raises(BudgetExceededError):
        ask(bench.asker(budget=Budget(50), max_tokens=16))


def test_a_turn_is_a_call_of_one_of_the_tools(bench: Bench) -> None:
    parameters = {
        "type": "object",
        "properties": {"query": {"$ref": "#/$defs/Text"}},
        "$defs": {"Text": {"type": "string"}},
    }
    tools = [
        {"type": "function", "function": {"name": "search", "parameters": parameters}},
        {"type": "function", "function": {"name": "finish"}},
    ]
    said = ['{"name": "search", "arguments": {"query": "x"}}', '{"name": "sea']
    bench.play = lambda wish, times: said[times]

    async def run() -> list[Any]:
        asker = bench.asker()
        replies = [await asker.turn(MESSAGES, tools, path=0) for _ in said]
        await asker.close()
        return [reply.value for reply in replies]

    called, cut = asyncio.run(run())
    ((call,),) = [called.calls]
    assert (call.name, json.loads(call.arguments)) == ("search", {"query": "x"})
    assert (cut.text, cut.calls) == ('{"name": "sea', ())
    wish = bench.core.wishes[0]
    assert list(wish.tools) == tools
    assert [form["properties"]["name"]["const"] for form in wish.schema["anyOf"]] == ["search", "finish"]
    assert wish.schema["$defs"] == {"Text": {"type": "string"}}


def test_a_model_in_this_process_decides_for_an_agent(bench: Bench) -> None:
    @tool
    def nominate(count: int) -> str:
        """Nominate so many."""
        return ""

    said = ['{"name": "nominate", "arguments": {"count": 3}}', UnfitError("no")]
    bench.play = lambda wish, times: said[times]
    model = chat_model(parse_backend("vllm:m"), LlmSettings()).bind_tools([nominate], tool_choice="any")
    earlier = AIMessage("", tool_calls=[{"name": "nominate", "args": {"count": 9}, "id": "c1"}])
    messages = [HumanMessage("[x]"), earlier, ToolMessage("too many [x]", tool_call_id="c1")]
    turn = model.invoke(messages)
    assert [(call["name"], call["args"]) for call in turn.tool_calls] == [("nominate", {"count": 3})]
    assert turn.usage_metadata["input_tokens"] == 100
    (wish,) = bench.core.wishes
    assert [message["role"] for message in wish.messages] == ["user", "assistant", "tool"]
    assert wish.messages[1]["tool_calls"][0]["function"]["name"] == "nominate"
    assert wish.tools[0]["function"]["parameters"]["properties"]["count"]["type"] == "integer"
    with pytest.raises(AgentError, match="no turn came: no") as error:
        model.invoke(messages)
    assert "llm.max_tokens" in error.value.remedy


def test_judgments_are_named_by_what_decides_them(bench: Bench) -> None:
    fast = bench.asker(vllm={"gpu_memory_utilization": 0.5})
    assert fast.sampling == bench.asker().sampling
    assert fast.sampling != bench.asker(vllm={"quantization": "fp8"}).sampling
    assert not fast.deterministic
    assert bench.asker(path_temperature=0).deterministic
    assert bench.loaded == []


def test_a_model_in_a_folder_has_its_weights_as_revision(
    bench: Bench, panel_with: Callable[..., Panel], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    weights = folder / "model.safetensors"
    weights.write_bytes(b"a" * 3_000_000)
    with panel_with("vllm:model") as panel:
        judge = panel.members["model"].judge
        assert judge.revision == weights_revision(str(folder))
        panel.prove()
    assert bench.loaded[0][0] == str(folder)
    weights.write_bytes(b"a" * 2_999_999 + b"b")
    with panel_with("vllm:model") as panel:
        assert panel.members["model"].judge.revision not in ("", judge.revision)


def test_without_vllm_the_extra_is_named(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_asker, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install vllm"):
        open_panel(settings_with("vllm:Qwen/Qwen3-8B"))


def test_the_backend_string_is_a_hub_s_id_or_a_folder() -> None:
    spec = parse_backend("vllm:Qwen/Qwen3-8B")
    assert (spec.kind, spec.model, spec.name, spec.batched) == (
        "vllm",
        "Qwen/Qwen3-8B",
        "Qwen/Qwen3-8B",
        True,
    )
    assert not parse_backend("openai:gpt-4o").batched
