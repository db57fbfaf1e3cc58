"""Texts that say the same: found where they are alike, never where they are not."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mining_desks import make_desk

from serm.benchmarks.mining.near_found import found
from serm.tools.desk import MiningDesk
from serm.tools.duplicates import TakenPairs
from serm.tools.near_duplicates import DOCUMENT_WORDS, SeenTexts, bands, jaccard, sketch_of
from serm.tools.selection import select

WORDS = [f"{first}{second}x" for first in "bcdfghjklmnpqrstvwz" for second in "aeiou"]


def sentence(rng: np.random.Generator, length: int) -> list[str]:
    return [WORDS[i] for i in rng.integers(0, len(WORDS), length)]


def with_texts(desk: MiningDesk, **columns: Any) -> MiningDesk:
    return dataclasses.replace(desk, window=desk.window.assign(**columns))


def test_other_case_width_and_blanks_are_the_same_text() -> None:
    seen = SeenTexts(1.0, DOCUMENT_WORDS)
    assert seen.add("A  red\nLAMP") == 0
    assert seen.find("a red lamp") == 0
    assert seen.add("\uff21 red lamp") == 0  # full width
    assert seen.find("a red lamp with a shade") is None


def test_a_text_is_told_all_that_it_is_like() -> None:
    """The first one may be of another query, the one of its own query a later one."""
    rng = np.random.default_rng(1)
    words = sentence(rng, 60)
    first, second = (" ".join([*words[:place], "other", *words[place + 1 :]]) for place in (10, 40))
    seen = SeenTexts(0.9, DOCUMENT_WORDS)
    assert (seen.add(first), seen.add(second)) == (0, 1), "they are not alike"
    assert [*seen.alike(" ".join(words))] == [0, 1]
    assert seen.append(" ".join(words)) == 2
    assert [*seen.alike(" ".join(words))] == [0, 1, 2]


def test_a_query_is_its_set_of_words() -> None:
    seen = SeenTexts(0.9, 1)
    seen.add("shoes, red")
    assert seen.find("Red shoes") == 0
    assert seen.find("red shoe") is None


def test_texts_with_other_numbers_are_never_alike() -> None:
    rng = np.random.default_rng(0)
    words = sentence(rng, 200)
    seen = SeenTexts(0.5, DOCUMENT_WORDS)
    seen.add(" ".join([*words, "size 40"]))
    assert seen.find(" ".join([*words, "size 41"])) is None
    assert seen.find(" ".join([*words[1:], "size 40"])) == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10000毫安充电宝", "1000毫安充电宝"),
        ("100元手机", "1000元手机"),
        ("1000円以下", "10000円以下"),
        ("22インチ", "222インチ"),
        ("500ml水", "5000ml水"),
    ],
)
def test_numbers_in_scripts_without_spaces_are_whole(one: str, other: str) -> None:
    seen = SeenTexts(0.5, 1)
    assert [seen.add(text) for text in (one, other, f" {one} ")] == [0, 1, 0]


def test_a_text_without_words_is_like_itself_alone() -> None:
    seen = SeenTexts(0.9, 1)
    assert [seen.add(text) for text in ("", "?!", "  ", "...")] == [0, 1, 0, 2]


def test_scripts_without_spaces_are_compared_by_pairs_of_characters() -> None:
    seen = SeenTexts(0.6, 1)
    seen.add("\u8d64\u3044\u9774\u3092\u8cb7\u3046")
    assert seen.find("\u8d64\u3044\u9774\u3092\u8cb7") == 0
    assert seen.find("\u9752\u3044\u5e3d\u5b50") is None


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), likeness=st.floats(0.3, 1.0))
def test_what_is_found_is_alike_and_the_first_of_its_kind(seed: int, likeness: float) -> None:
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(30):
        words = sentence(rng, 20)
        for _ in range(rng.integers(1, 4)):
            words[int(rng.integers(0, 20))] = WORDS[int(rng.integers(0, len(WORDS)))]
            texts.append(" ".join(words))
    seen = SeenTexts(likeness, 1)
    first: dict[int, str] = {}
    for text in texts:
        number = seen.add(text)
        leader = first.setdefault(number, text)
        assert jaccard(sketch_of(leader, 1).shingles, sketch_of(text, 1).shingles) >= likeness


@given(likeness=st.floats(0.05, 1.0))
def test_the_bands_miss_few_texts_that_are_just_alike_enough(likeness: float) -> None:
    count, rows = bands(likeness)
    assert count * rows <= 128
    assert likeness**rows == 1 or rows == 1 or (1 - likeness**rows) ** count <= 0.01


def test_texts_with_one_word_changed_are_found() -> None:
    rng = np.random.default_rng(1)
    originals = [sentence(rng, 120) for _ in range(300)]
    seen = SeenTexts(0.9, DOCUMENT_WORDS)
    for words in originals:
        seen.add(" ".join(words))
    changed = [" ".join([*words[:60], "another", *words[61:]]) for words in originals]
    assert np.mean([seen.find(text) == number for number, text in enumerate(changed)]) > 0.98
    assert len(seen) == 300


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each two texts whose shingles are compared."""
    seen: list[int] = []
    plain = SeenTexts._alike
    monkeypatch.setattr(SeenTexts, "_alike", lambda *given: (seen.append(1), plain(*given))[1])
    return seen


@pytest.mark.parametrize("apart", ["words", "a number"])
def test_the_work_grows_with_the_texts_and_not_with_their_square(compared: list[int], apart: str) -> None:
    """Texts of their own, and listings that differ in a number alone."""
    rng = np.random.default_rng(2)
    listing = " ".join(sentence(rng, 60))
    seen = SeenTexts(0.9, DOCUMENT_WORDS)
    for number in range(300):
        seen.add(" ".join(sentence(rng, 12)) if apart == "words" else f"{listing} sku {number}")
    assert len(seen) == 300
    assert len(compared) < 300, "300 texts have 44,850 pairs"
    assert seen.add(f"{listing} sku 7") == (7 if apart == "a number" else 300)
    assert seen.add(f"{listing} indeed sku 7") == (7 if apart == "a number" else 300), "nearly the same text"


def test_listings_of_one_template_are_compared_with_few(compared: list[int]) -> None:
    """200 words of the seller and 30 of their own: similar enough to meet, and never alike."""
    rng = np.random.default_rng(3)
    boilerplate = " ".join(sentence(rng, 200))
    seen = SeenTexts(0.9, DOCUMENT_WORDS)
    listings = [f"{boilerplate} {' '.join(sentence(rng, 30))}" for _ in range(300)]
    assert [seen.add(text) for text in listings] == list(range(300))
    assert len(compared) <= 300 * 32, "300 texts have 44,850 pairs"
    changed = [text.replace(boilerplate[-9:], "another ", 1) for text in listings]
    assert np.mean([seen.find(text) == number for number, text in enumerate(changed)]) > 0.98


def test_words_of_thousands_of_letters_are_read_to_their_end() -> None:
    """A pattern for words with a digit began anew at every letter: so many would reach the suite's limit."""
    for number in range(100):
        assert sketch_of(f"{'a' * 19_000} {number}", 1).numbers == {str(number)}


def test_words_that_differ_in_their_vowel_signs_are_other_words() -> None:
    """Black, nail, banana, people, fort and cola in Hindi; rice and white in Thai; two languages."""
    seen = SeenTexts(0.9, 1)
    said = ["काला", "कील", "केला", "लोक", "किला", "कोला", "ข้าว", "ขาว", "c", "c++", "c#"]
    assert [seen.add(text) for text in said] == list(range(len(said)))


def test_an_exact_pair_under_other_ids_is_taken_once() -> None:
    desk = make_desk(queries=4, per_query=5)
    query = desk.window["query"].where(desk.query_index != 3, "Query  0")  # q3 asks what q0 asks
    text = desk.window["text"].where(desk.query_index != 3, [f"document {i % 5}" for i in range(20)])
    sample = select(pd.DataFrame(), with_texts(desk, query=query, text=text), 20)
    assert len(sample) == 15
    assert sample["doc_id"].is_unique


def test_queries_that_read_alike_share_the_cap_of_one() -> None:
    desk = make_desk(queries=4, per_query=5)
    query = desk.window["query"].where(desk.query_index != 3, "0 query")
    desk = with_texts(desk, query=query)
    pairs = TakenPairs(desk)
    assert all(pairs.add(row, 7) for row in range(5))
    assert [pairs.add(row, 7) for row in range(15, 20)] == [True, True, False, False, False]


def test_nearly_the_same_text_is_taken_once_for_a_query_and_again_for_another() -> None:
    rng = np.random.default_rng(3)
    words = sentence(rng, 120)
    desk = make_desk(queries=3, per_query=4)
    text = desk.window["text"].copy()
    text[0], text[1], text[4] = " ".join(words), " ".join([*words[:-1], "else"]), " ".join(words[1:])
    sample = select(pd.DataFrame(), with_texts(desk, text=text), 12)
    assert len(sample) == 11
    assert {"d0", "d1"} - set(sample["doc_id"])
    assert "d4" in set(sample["doc_id"])


def test_a_query_of_thousands_of_documents_is_no_square() -> None:
    desk = make_desk(queries=1, per_query=2_000)
    began = time.process_time()
    sample = select(pd.DataFrame(), desk, 1_500)
    assert len(sample) == 1_500
    assert time.process_time() - began < 10


def test_the_benchmark_counts_pairs_that_say_what_an_earlier_one_says() -> None:
    rng = np.random.default_rng(5)
    words = sentence(rng, 120)
    texts = [" ".join(words), " ".join(words), " ".join(words[1:]), " ".join(sentence(rng, 120))]
    pairs = pd.DataFrame({"query": "red shoes", "text": texts, "grade": [2, 2, 1, 0]})
    assert found(pairs, 0.9) == {"pairs": 4, "repeat": 2, "exact": 1, "same grade": 0.5}
