"""search_knowledge as a model sees it: typed arguments in, less than 2 KB of JSON out, so many searches."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.tools import ToolException
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ValidationError

from serm.core.records import Pair
from serm.storage.knowledge import Found, JudgedPair, Passage
from serm.tools.knowledge import SearchDesk, excerpt, told
from serm.tools.result import LIMIT

PAIR = Pair("q", "d", "red lamp", "a text")


@dataclass
class Shelf:
    """A knowledge base of given things, which remembers what it was asked."""

    found: Found = field(default_factory=Found)
    version: str = "1"
    asked: list[tuple[str, int, Pair]] = field(default_factory=list)

    def search(self, query: str, count: int, pair: Pair) -> Found:
        self.asked.append((query, count, pair))
        return Found(self.found.passages[:count], self.found.judged[:count])


texts = st.text(max_size=400)
similarity = st.floats(-1, 1)
outcomes = st.sampled_from(["human", "reliability"])
pairs = st.builds(JudgedPair, texts, texts, st.integers(0, 3), outcomes, similarity)
found = st.builds(
    Found,
    st.lists(st.builds(Passage, texts, similarity), max_size=10).map(tuple),
    st.lists(pairs, max_size=10).map(tuple),
)


@settings(max_examples=50)
@given(found, st.integers(0, 9), st.builds(Pair, st.just("q"), st.just("d"), texts, texts, texts))
def test_whatever_was_found_is_told_within_two_kilobytes(found: Found, left: int, pair: Pair) -> None:
    answer = told(found, left, pair)
    assert len(answer.encode()) <= LIMIT
    said = json.loads(answer)
    assert said["searches_left"] == left
    grades = [item.grade for item in found.judged]
    assert [item["grade"] for item in said["judged_pairs"]] == grades[: len(said["judged_pairs"])]


def test_with_the_default_of_four_each_nothing_is_left_out_and_each_keeps_some_words() -> None:
    words = "eine sehr lange Beschreibung der roten Lampe " * 40
    found = Found(
        tuple(Passage(words, 0.5) for _ in range(4)),
        tuple(JudgedPair(words, words, grade, "reliability", -0.12) for grade in range(4)),
    )
    said = json.loads(told(found, 1, PAIR))
    assert [item["grade"] for item in said["judged_pairs"]] == [0, 1, 2, 3]
    assert len(said["passages"]) == 4
    shown = [item["text"] for item in said["passages"]] + [item["document"] for item in said["judged_pairs"]]
    assert said["grade_this"] == {"query": "red lamp", "document": "a text"}, "what is read last is graded"
    assert all(len(text) > 70 and text.endswith("…") and words.startswith(text[:-1]) for text in shown)


def test_many_things_found_are_fewer_and_readable() -> None:
    many = Found((Passage("red lamp", 0.5),) * 10, (JudgedPair("lamp", "red lamp", 3, "majority", 0.5),) * 10)
    said = json.loads(told(many, 0, PAIR))
    assert (len(said["passages"]), len(said["judged_pairs"])) == (6, 6)
    said = json.loads(told(Found(many.passages[:2], many.judged), 0, PAIR))
    assert (len(said["passages"]), len(said["judged_pairs"])) == (2, 10)


@given(st.text(max_size=500), st.integers(4, 200))
def test_an_excerpt_is_the_start_of_the_text_in_one_line(text: str, size: int) -> None:
    line = " ".join(text.split())
    short = excerpt(text, size)
    assert short == line or line.startswith(short.removesuffix("…"))
    assert len(short.encode()) <= size


def test_a_desk_hands_on_its_pair_and_counts_its_searches() -> None:
    shelf = Shelf(Found((Passage("red lamp", 0.9),) * 4))
    desk = SearchDesk(shelf, PAIR, results=3, searches=2)
    assert len(json.loads(desk.tool.invoke({"query": "lamp"}))["passages"]) == 3
    said = json.loads(desk.tool.invoke({"query": "lamp", "k": 50}))
    assert (len(said["passages"]), said["searches_left"]) == (3, 0), "never more than the config allows"
    assert shelf.asked == [("lamp", 3, PAIR), ("lamp", 3, PAIR)]
    with pytest.raises(ToolException, match=r"all your searches \(2\)"):
        desk.tool.invoke({"query": "again"})
    assert len(shelf.asked) == 2


@pytest.mark.parametrize(
    "given", [{}, {"query": ""}, {"query": "a", "k": 0}, {"query": "a", "n": 1}, {"query": 3}]
)
def test_arguments_that_do_not_fit_are_refused_and_cost_no_search(given: dict[str, object]) -> None:
    desk = SearchDesk(Shelf(), PAIR, results=3, searches=2)
    with pytest.raises(ValidationError):
        desk.tool.invoke(given)
    assert desk.left == 2


def test_the_function_schema_says_what_the_tool_takes() -> None:
    function = convert_to_openai_tool(SearchDesk(Shelf(), PAIR, results=3, searches=2).tool)["function"]
    assert function["name"] == "search_knowledge"
    assert "At most 2 searches" in function["description"]
    assert set(function["parameters"]["properties"]) == {"query", "k"}
    assert function["parameters"]["required"] == ["query"]
