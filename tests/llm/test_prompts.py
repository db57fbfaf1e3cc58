"""What a prompt makes of a pair: any language, any text, any length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from chat_stub import Call, ChatStub, Status, grade
from hypothesis import given
from hypothesis import strategies as st

from serm.agents.panel import open_panel
from serm.agents.prompt import LONGEST_WORD, read_prompt, shorten
from serm.core import Pair, Settings
from serm.llm.base import cache_key
from serm.storage.judgments import JudgmentStore
from serm.storage.knowledge import NoKnowledge

SettingsWith = Callable[..., Settings]


@given(st.text(), st.text(), st.text())
def test_a_pair_s_own_text_is_shown_as_it_is(query: str, text: str, title: str) -> None:
    prompt = read_prompt("grade_only")
    system, user = prompt.messages(Pair("q", "d", query, text, title=title))
    assert system["content"] == prompt.system
    head, _, body = user["content"].partition("\n\nDocument: ")
    if "\n\nDocument: " not in query:
        assert head == f"Query: {query}"
        assert body.endswith(text)


@pytest.mark.parametrize(
    "text", ["北京的天气怎么样", "ما هي عاصمة فرنسا", "{document} {} {{query}} %s \\1 \\g<0>", "\ud800"[:0]]
)
def test_other_scripts_and_braces_reach_the_server_unchanged(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, text: str
) -> None:
    with open_panel(settings_with(f"{stub.url}#stub")) as panel:
        panel.judge("stub", [Pair("q", "d", text, text)], store)
    assert stub.bodies[0]["messages"][-1]["content"] == f"Query: {text}\n\nPassage: {text}"


@given(st.text(), st.integers(100, 300))
def test_a_text_is_cut_to_its_limit_and_never_much_below(text: str, limit: int) -> None:
    short = shorten(text * 40, limit)
    if len(text * 40) <= limit:
        assert short == text * 40
    else:
        assert limit - LONGEST_WORD <= len(short.removesuffix(" …")) <= limit
        assert (text * 40).startswith(short.removesuffix(" …"))


def test_words_are_kept_whole_where_there_are_spaces() -> None:
    assert shorten("one two three four", 100) == "one two three four"
    assert shorten(f"{'word ' * 30}", 103) == f"{'word ' * 20}".strip() + " …"
    assert shorten("字" * 200, 100) == "字" * 100 + " …"


def test_a_judge_with_a_limit_is_shown_the_beginning_and_is_another_judge_to_the_cache(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith
) -> None:
    pair = Pair("q", "d", "a query", "long " * 1000)
    for limit in (None, 400):
        judge = {"backend": f"{stub.url}#stub", "document_limit": limit}
        with open_panel(settings_with(judge)) as panel:
            assert panel.judge("stub", [pair], store).asked == 1
    lengths = [len(body["messages"][-1]["content"]) for body in stub.bodies]
    assert lengths[0] > 5000
    assert lengths[1] < 440
    assert read_prompt("umbrela").hash != read_prompt("umbrela", limit=400).hash


@pytest.mark.parametrize(
    "case", [("", 1, False), ("", 1, True), (" in {language}", 2, False), (" in {language}", 2, True)]
)
def test_a_pair_whose_language_was_corrected_is_asked_again_where_the_prompt_shows_it(
    stub: ChatStub,
    store: JudgmentStore,
    settings_with: SettingsWith,
    tmp_path: Path,
    case: tuple[str, int, bool],
) -> None:
    slot, asked, knowledge = case
    (tmp_path / "mine.yaml").write_text(f'system: "Grade."\nuser: "{{query}}{slot}: {{document}}"\n')
    stub.play = lambda body, times: Call((("submit_grade", '{"grade": 2}'),)) if "tools" in body else grade(2)
    judge = {"backend": f"{stub.url}#stub", "prompt": "mine.yaml", "knowledge": knowledge}
    for language in ("de", "nl", "nl"):
        with open_panel(settings_with(judge), knowledge=NoKnowledge) as panel:
            panel.judge("stub", [Pair("q", "d", "boot", "a boat", language=language)], store)
    assert len(stub.bodies) == asked
    shown = [" in nl" in body["messages"][-1]["content"] for body in stub.bodies]
    assert shown == [False, True][:asked]


def test_the_keys_of_prompts_that_show_no_language_stay_as_they_were(settings_with: SettingsWith) -> None:
    """What is recorded under them was paid for. A key that changes here makes every workspace ask anew."""
    with open_panel(settings_with("http://127.0.0.1:9/v1#stub")) as panel:
        judge = panel.members["stub"].judge
        keys = {cache_key(judge, Pair("q", "d", "a", "b", language=language), 1) for language in ("", "de")}
    assert len(keys) == 1
    assert judge.evidence(Pair("q", "d", "a", "b", language="de")) == ""


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
        "request (6031 tokens) exceeds the available context size (4096 tokens), try increasing it",
        "prompt is too long: 208310 tokens > 200000 maximum",
        "Input is too long for requested model.",
        "The input token count (40000) exceeds the maximum number of tokens allowed (32768).",
    ],
)
def test_a_text_that_is_too_long_for_the_model_is_a_failure_of_that_name_and_is_asked_once(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, said: str
) -> None:
    stub.play = lambda body, times: (
        Status(400, said) if "long" in body["messages"][-1]["content"] else grade(1)
    )
    pairs = [Pair("q", "short", "a query", "a text"), Pair("q", "long", "a query", "long")]
    with open_panel(settings_with(f"{stub.url}#stub", llm={"concurrency": 1})) as panel:
        report = panel.judge("stub", pairs, store)
    assert (report.graded, dict(report.failures)) == (1, {"too_long": 1})
    assert stub.asked("Passage: long") == 1
