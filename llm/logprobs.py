"""From the tokens of an answer to a distribution over the grades, and to the mass that lay on none. Pure.

The token at the first digit of the grade is looked up, and each token that could have stood there is read as
the start of a value: a grade, something else, or nothing yet (blanks). Mass on grades, renormalised, is the
distribution; what is left of the mass that is no blank is `outside`. An alternative that the server does not
list counts as outside: it gives the likeliest few (20 at most, in OpenAI's protocol).

Whether `outside` can be told depends on the server. llama.cpp gives log-probabilities as they were before the
JSON schema ruled tokens out, so that a model that would rather have written prose shows it. vLLM (0.32) gives
them as they are after that: tokens that are ruled out are seen to have none left, and `outside` is not told.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from serm.core.records import GRADES, GradeDistribution
from serm.llm.asking import Token

_PLACE: Final = re.compile(r'(?<!\\)"grade"\s*:\s*(-?\d{1,9})')
_NUMBER: Final = re.compile(r"-?\d+|-\Z")
_AFTER: Final = frozenset(" \t\r\n,}")  # what may follow a whole number in a JSON object
_RULED_OUT: Final = -9_000.0
"""Log-probability under which a token was ruled out: vLLM says -inf, its server -9999, a softmax neither."""
_SAME: Final = {grade: grade for grade in GRADES}


@dataclass(frozen=True, slots=True)
class GradeMass:
    """Where the probability lay when a grade was written."""

    distribution: GradeDistribution  # over the four grades; sums to 1
    outside: float | None  # in [0, 1]: the share that lay on no grade; None: the server hides it
    single: tuple[int, ...]  # values (of the judge's own scale) that were seen to be one token each


def grade_mass(
    tokens: Sequence[Token], grade: int, grades: Mapping[int, int] | None = None
) -> GradeMass | None:
    """The distribution behind `grade`, which was read from the answer that these tokens make.

    `grades` maps the judge's own values to grades; None: they are the same. None comes back where the tokens
    do not hold that grade, where no alternative is a grade, and where a token leaves open which value it
    begins (a scale with 1 and 10): a vote is all there is then.
    """
    scale = grades or _SAME
    at = _token_at_grade(tokens, grade, scale)
    if at is None:
        return None
    before, alternatives = at
    masses = dict.fromkeys(GRADES, 0.0)
    single: set[int] = set()
    undecided = 0.0
    for text, logprob in alternatives:
        mass = _probability(logprob)
        digits = _digits(text, before)
        if digits == "":
            undecided += mass
        elif digits is not None:
            values = _values(digits, text, scale)
            if len(values) > 1:
                return None
            for value in values:
                masses[scale[value]] += mass
                if digits == str(value):
                    single.add(value)
    inside = sum(masses.values())
    if inside <= 0:
        return None
    p0, p1, p2, p3 = (mass / inside for mass in masses.values())
    outside = min(1.0, max(0.0, 1 - inside / max(1 - undecided, inside)))
    return GradeMass((p0, p1, p2, p3), None if _ruled_out(tokens) else outside, tuple(sorted(single)))


def _ruled_out(tokens: Sequence[Token]) -> bool:
    """Whether the log-probabilities are those after the JSON schema has ruled tokens out."""
    return any(logprob <= _RULED_OUT for token in tokens for _, logprob in token.alternatives)


def _token_at_grade(
    tokens: Sequence[Token], grade: int, scale: Mapping[int, int]
) -> tuple[str, tuple[tuple[str, float], ...]] | None:
    """What stands before the number in its first token, and the alternatives to that token.

    The last place that reads as a grade is meant: a model that thinks aloud may write drafts before it.
    """
    places = list(_PLACE.finditer("".join(token.text for token in tokens)))
    if not places or scale.get(int(places[-1].group(1))) != grade:
        return None
    start = places[-1].start(1)
    for begin, token in _with_places(tokens):
        if begin <= start < begin + len(token.text):
            return token.text[: start - begin], token.alternatives
    return None


def _with_places(tokens: Sequence[Token]) -> Iterator[tuple[int, Token]]:
    place = 0
    for token in tokens:
        yield place, token
        place += len(token.text)


def _digits(text: str, before: str) -> str | None:
    """The number, or the start of one, that an alternative brings; "" where it has not come to one yet; None
    where something else begins. Blanks do not matter: ` 2` says what `2` says."""
    stem = before.rstrip()
    if not text or not text.startswith(stem):
        return "" if text and stem.startswith(text) else None
    rest = text[len(stem) :].lstrip()
    if not rest:
        return ""
    number = _NUMBER.match(rest)
    tail = rest[number.end() :] if number else ""
    return number.group() if number and (not tail or tail[0] in _AFTER) else None


def _values(digits: str, text: str, scale: Mapping[int, int]) -> list[int]:
    """The values that a token's digits can mean: where the number may go on in the next token, all that
    begin so."""
    goes_on = text.endswith(digits)
    return [v for v in scale if str(v) == digits or (goes_on and str(v).startswith(digits))]


def _probability(logprob: float) -> float:
    return 0.0 if math.isnan(logprob) else math.exp(min(0.0, logprob))
