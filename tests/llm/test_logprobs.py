"""From the tokens of an answer to a distribution over the grades."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serm.llm.asking import Token
from serm.llm.logprobs import grade_mass


def token(text: str, **listed: float) -> Token:
    """A token, and the probabilities of what could have stood there; `_` stands for a blank."""
    pairs = tuple((name.replace("_", " "), math.log(p)) for name, p in listed.items())
    return Token(text, pairs or ((text, 0.0),))


def listed(*pairs: tuple[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple((text, math.log(p)) for text, p in pairs)


def answer(*texts: str | Token) -> list[Token]:
    return [token(text) if isinstance(text, str) else text for text in texts]


FOUR = {"0": 0.1, "1": 0.2, "2": 0.6, "3": 0.05}


def test_the_shares_are_those_of_the_grades_alone_and_the_rest_is_outside() -> None:
    mass = grade_mass(answer('{"', "grade", '":', " ", token("2", **FOUR), "}"), 2)
    assert mass is not None
    assert mass.distribution == pytest.approx((0.1 / 0.95, 0.2 / 0.95, 0.6 / 0.95, 0.05 / 0.95))
    assert mass.outside == pytest.approx(0.05), "what is not listed is on no grade"
    assert mass.single == (0, 1, 2, 3)


@pytest.mark.parametrize("ruled_out", [-math.inf, -9999.0])
def test_the_rest_is_not_told_where_the_schema_ruled_tokens_out_before_they_were_counted(
    ruled_out: float,
) -> None:
    begin = Token('{"', (('{"', 0.0), ("The", ruled_out)))
    mass = grade_mass([begin, *answer("grade", '":', " ", token("2", **FOUR), "}")], 2)
    assert mass is not None
    assert mass.outside is None
    assert sum(mass.distribution) == pytest.approx(1)


@pytest.mark.parametrize(
    ("before", "chosen", "alternatives"),
    [
        (['{"grade": '], "2", [("2", 0.5), ("1", 0.5)]),
        (['{"grade":'], " 2", [(" 2", 0.5), ("1", 0.25), (" 1", 0.25)]),
        (['{"grade": '], "2}", [("2}", 0.3), ("2", 0.2), ("1}", 0.1), ("1,", 0.4)]),
        (['{"gra', "de"], '": 2', [('": 2', 0.5), ('":1', 0.5)]),
        (['{"reason": "say \\"grade\\": 3", "grade": '], "2", [("2", 0.5), ("1", 0.5)]),
        (["```json\n{\n  ", '"grade"', " :  "], "2\n", [("2\n", 0.5), ("1\n", 0.5)]),
        (['<think>{"grade": 0} or more?</think>{"grade": '], "2", [("2", 0.5), ("1", 0.5)]),
    ],
)
def test_the_grade_is_found_however_the_answer_falls_into_tokens(
    before: list[str], chosen: str, alternatives: list[tuple[str, float]]
) -> None:
    mass = grade_mass(answer(*before, Token(chosen, listed(*alternatives)), "}"), 2)
    assert mass is not None
    assert mass.distribution == pytest.approx((0, 0.5, 0.5, 0))
    assert mass.outside == pytest.approx(0)


def test_what_is_not_a_whole_number_of_the_scale_is_outside() -> None:
    alternatives = listed(("2", 0.4), ('"2', 0.1), ("null", 0.1), ("2.", 0.1), ("7", 0.1), ("25", 0.1))
    mass = grade_mass(answer('{"grade": ', Token("2", (*alternatives, ("", math.log(0.1)))), "}"), 2)
    assert mass is not None
    assert mass.distribution == (0, 0, 1, 0)
    assert mass.outside == pytest.approx(0.6)
    assert mass.single == (2,)


def test_blanks_put_the_value_off_and_say_nothing_of_it() -> None:
    with_blank = listed((" 2", 0.3), (" 1", 0.1), (" ", 0.5), (' "', 0.1))
    mass = grade_mass(answer('{"grade":', Token(" 2", with_blank), "}"), 2)
    assert mass is not None
    assert mass.distribution == pytest.approx((0, 0.25, 0.75, 0))
    assert mass.outside == pytest.approx(0.2)


def test_another_scale_is_mapped_and_values_of_one_grade_add_up() -> None:
    grades = {1: 0, 2: 0, 3: 1, 4: 2, 5: 3}
    at = token("4", **{"1": 0.1, "2": 0.1, "3": 0.2, "4": 0.5, "5": 0.05, "0": 0.05})
    mass = grade_mass(answer('{"grade": ', at, "}"), 2, grades)
    assert mass is not None
    assert mass.distribution == pytest.approx((0.2 / 0.95, 0.2 / 0.95, 0.5 / 0.95, 0.05 / 0.95))
    assert mass.outside == pytest.approx(0.05)
    assert mass.single == (1, 2, 3, 4, 5)


def test_a_number_of_several_tokens_counts_by_its_first_where_that_is_clear() -> None:
    at = token("5", **{"0": 0.25, "5": 0.75})
    mass = grade_mass(answer('{"grade": ', at, "0", "}"), 1, {0: 0, 50: 1})
    assert mass is not None
    assert mass.distribution == pytest.approx((0.25, 0.75, 0, 0))
    assert mass.single == (0,), "50 is no single token"
    minus = token("-", **{"-": 0.5, "1": 0.5})
    mass = grade_mass(answer('{"grade": ', minus, "1", "}"), 0, {-1: 0, 1: 2})
    assert mass is not None
    assert mass.distribution == pytest.approx((0.5, 0, 0.5, 0))


def test_where_a_token_leaves_open_which_value_it_begins_there_is_only_the_vote() -> None:
    scale = {1: 0, 10: 3}
    unclear = token("1", **{"1": 1.0})
    assert grade_mass(answer('{"grade": ', unclear, "0", "}"), 3, scale) is None
    clear = Token("1}", listed(("1}", 0.5), ("10", 0.5)))
    mass = grade_mass(answer('{"grade": ', clear), 0, scale)
    assert mass is not None
    assert mass.distribution == pytest.approx((0.5, 0, 0, 0.5))


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        answer("2"),
        answer('{"score": 2}'),
        answer('{"grade": ', Token("2", ()), "}"),
        answer('{"grade": ', Token("2", (("2", -math.inf),)), "}"),
        answer('{"grade": ', Token("2", (("2", math.nan),)), "}"),
        answer('{"grade": ', Token("2", listed(("five", 0.9))), "}"),
        answer('{"grade": ', token("1", **FOUR), "}"),
    ],
)
def test_without_a_listed_grade_or_with_another_one_there_is_no_distribution(tokens: list[Token]) -> None:
    assert grade_mass(tokens, 2) is None


probabilities = st.lists(st.floats(1e-6, 1.0), min_size=5, max_size=5).map(
    lambda weights: [weight / sum(weights) for weight in weights]
)
SAY = '{"reason": "größer als 你好 {x}", "grade": '


@given(probabilities, st.integers(0, 3), st.lists(st.integers(1, len(SAY) - 1), max_size=8))
def test_it_is_a_distribution_whatever_the_tokens_before_are(
    shares: list[float], grade: int, cuts: list[int]
) -> None:
    places = [0, *sorted(set(cuts)), len(SAY)]
    before = [SAY[first:last] for first, last in pairwise(places)]
    alternatives = listed(*((str(value), share) for value, share in enumerate(shares[:4])), ("x", shares[4]))
    mass = grade_mass(answer(*before, Token(str(grade), alternatives), "}"), grade)
    assert mass is not None
    assert sum(mass.distribution) == pytest.approx(1)
    assert mass.outside == pytest.approx(shares[4], abs=1e-9)
    assert mass.distribution == pytest.approx([share / sum(shares[:4]) for share in shares[:4]])


@given(
    st.lists(st.tuples(st.text(max_size=4), st.floats(-30, 0.0)), max_size=8),
    st.text(max_size=6),
    st.integers(0, 3),
)
def test_no_alternative_of_any_kind_makes_it_less_than_a_distribution(
    alternatives: list[tuple[str, float]], tail: str, grade: int
) -> None:
    mass = grade_mass(answer('{"grade": ', Token(f"{grade}", tuple(alternatives)), "}" + tail), grade)
    if mass is not None:
        assert sum(mass.distribution) == pytest.approx(1)
        assert 0 <= mass.outside <= 1
        assert all(0 <= share <= 1 for share in mass.distribution)


@given(probabilities, st.permutations([0, 1, 2, 3]), st.integers(0, 3))
def test_a_map_of_grades_permutes_the_shares(shares: list[float], order: list[int], value: int) -> None:
    alternatives = listed(*((str(number), share) for number, share in enumerate(shares[:4])))
    tokens = answer('{"grade": ', Token(str(value), alternatives), "}")
    plain, mapped = grade_mass(tokens, value), grade_mass(tokens, order[value], dict(enumerate(order)))
    assert plain is not None
    assert mapped is not None
    assert [mapped.distribution[order[number]] for number in range(4)] == pytest.approx(plain.distribution)
    assert mapped.outside == pytest.approx(plain.outside)
