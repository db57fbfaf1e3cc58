"""The grade rule, checked against a plain reading of it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serm.benchmarks.marketplace.catalogue import listing, open_market
from serm.benchmarks.marketplace.grades import NOT_ASKED, Relation, fitting, grade, relations
from serm.benchmarks.marketplace.settings import LANGUAGES, MarketplaceSettings
from serm.benchmarks.marketplace.vocabulary import ATTRIBUTES, vocabulary

WORDS = vocabulary()
RELATIONS = relations(WORDS.types)
INDEX = {item.id: place for place, item in enumerate(WORDS.types)}
types = st.integers(0, len(WORDS.types) - 1)
wished = st.lists(st.integers(NOT_ASKED, 3), min_size=len(ATTRIBUTES), max_size=len(ATTRIBUTES))
offered = st.lists(st.integers(0, 3), min_size=len(ATTRIBUTES), max_size=len(ATTRIBUTES))


def one_grade(asked_type: int, its_type: int, asked: list[int], values: list[int]) -> int:
    fits = fitting(np.asarray(asked), np.asarray(values)).all(keepdims=True)
    return int(grade(RELATIONS[asked_type, its_type][None], fits)[0])


@given(types, types, wished, offered)
def test_a_grade_is_what_the_rule_says_in_words(
    asked_type: int, its_type: int, asked: list[int], values: list[int]
) -> None:
    one, other = WORDS.types[asked_type], WORDS.types[its_type]
    fits = all(wish in (NOT_ASKED, value) for wish, value in zip(asked, values, strict=True))
    if asked_type == its_type:
        wanted = 3 if fits else 2
    elif one.family != other.family or (one.accessory and other.accessory):
        wanted = 0
    elif one.accessory or other.accessory:
        wanted = 1
    else:
        wanted = 2
    assert one_grade(asked_type, its_type, asked, values) == wanted


@given(types, types, wished, offered)
def test_to_ask_for_less_never_lowers_a_grade(
    asked_type: int, its_type: int, asked: list[int], values: list[int]
) -> None:
    nothing = [NOT_ASKED] * len(asked)
    assert one_grade(asked_type, its_type, nothing, values) >= one_grade(asked_type, its_type, asked, values)


@given(types, types)
def test_relations_hold_both_ways(one: int, other: int) -> None:
    assert RELATIONS[one, other] == RELATIONS[other, one]
    assert (RELATIONS[one, other] == Relation.SAME) == (one == other)


def test_a_case_is_a_complement_of_the_phone_and_a_tablet_its_substitute() -> None:
    anything = [NOT_ASKED] * len(ATTRIBUTES)
    phone = INDEX["smartphone"]
    grades = {
        name: one_grade(phone, INDEX[name], anything, [0] * len(ATTRIBUTES))
        for name in ("smartphone", "tablet", "phone_case", "office_chair")
    }
    assert grades == {"smartphone": 3, "tablet": 2, "phone_case": 1, "office_chair": 0}
    assert one_grade(INDEX["phone_case"], INDEX["charging_cable"], anything, [0] * len(ATTRIBUTES)) == 0


def test_a_listing_states_every_attribute_and_describes_the_type_in_its_language() -> None:
    market = open_market(MarketplaceSettings(), np.random.default_rng(0))
    for product in range(0, len(market.catalogue.type), 37):
        item = market.words.types[market.catalogue.type[product]]
        for language in LANGUAGES:
            title, text = listing(market, product, language)
            whole = f"{title} {text}"
            assert item.names[language].description in text
            assert "{" not in whole
            for column, value in enumerate(market.catalogue.values[product]):
                assert market.words.values[column][value][language] in whole


def test_every_type_has_its_words_in_every_language_and_no_invented_word_is_a_shop_word() -> None:
    shop = " ".join(
        f"{names.official} {names.everyday} {names.description}".lower()
        for item in WORDS.types
        for names in item.names.values()
    )
    for item in WORDS.types:
        assert set(item.names) == set(LANGUAGES)
        assert not item.new or set(item.slang) == set(LANGUAGES)
        if not item.accessory:
            for word in item.slang.values():
                assert word not in shop
    mains = [item.slang["en"] for item in WORDS.types if item.slang and not item.accessory]
    assert len(set(mains)) == len(mains)
