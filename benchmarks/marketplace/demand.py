"""What people ask: one query at a time, from the stated shares. A query's id is its text and language."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serm.benchmarks.marketplace.catalogue import Market
from serm.benchmarks.marketplace.grades import NOT_ASKED, fitting
from serm.benchmarks.marketplace.settings import LANGUAGES
from serm.benchmarks.marketplace.vocabulary import ATTRIBUTES

_HEAD_ATTRIBUTES = (0, 3)  # popular queries ask a colour or a use


@dataclass(frozen=True, slots=True)
class Query:
    """One query of one window."""

    id: str
    text: str
    language: str
    type: int
    asked: tuple[int, ...]  # (5,), NOT_ASKED where an attribute is not asked
    invented: bool  # it uses an invented word
    head: bool
    target: int  # a product that is exactly what is asked


class Demand:
    """Draws queries of one window."""

    def __init__(self, market: Market, window: int, rng: np.random.Generator) -> None:
        self._settings, self._words, self._plan = market.settings, market.words, market.plan
        self._window, self._rng = window, rng
        self._values = market.catalogue.values
        listed = market.catalogue.listed(window)
        types = market.catalogue.type[listed]
        self._of_type = [listed[types == index] for index in range(len(self._words.types))]
        self._weights = self._type_weights()

    def _type_weights(self) -> NDArray[np.float64]:
        """(T,) share of the queries that ask for each type."""
        demand = self._settings.demand
        weights = np.zeros(len(self._words.types))
        for column, family in enumerate(self._words.families):
            for accessory, share in ((False, 1 - demand.accessories), (True, demand.accessories)):
                members = [
                    index
                    for index, item in enumerate(self._words.types)
                    if item.family == family and item.accessory == accessory
                ]
                pull = np.asarray([self._pull(index) for index in members])
                weights[members] = self._plan.family_weights[self._window, column] * share * pull / pull.sum()
        return np.asarray(weights / weights.sum())

    def _pull(self, kind: int) -> float:
        """A type's share within its family, before it is made to sum to 1."""
        renamed = self._renamed(kind) and not self._words.types[kind].new
        return self._settings.drift.renamed_weight if renamed else 1.0

    def _renamed(self, kind: int) -> bool:
        return bool(self._plan.slang_from[kind] <= self._window)

    def draw(self, shown: Mapping[str, NDArray[np.int64]]) -> Query | None:
        """One query, or None where the shop has nothing that fits and that the query was not `shown` before.

        `shown` maps query ids to the products of their earlier windows.
        """
        rng, demand = self._rng, self._settings.demand
        language = LANGUAGES[rng.choice(len(LANGUAGES), p=demand.languages)]
        kind = int(rng.choice(len(self._weights), p=self._weights))
        word, invented = self._word(kind, language)
        head = bool(rng.random() < demand.head)
        asked = self._popular(kind) if head else self._particular(kind)
        products = self._of_type[kind]
        exact = products[fitting(np.asarray(asked), self._values[products]).all(axis=1)]
        text = self._text(word, asked, language)
        name = query_id(text, language)
        exact = np.setdiff1d(exact, shown.get(name, ()))
        if not len(exact):
            return None
        return Query(
            id=name,
            text=text,
            language=language,
            type=kind,
            asked=asked,
            invented=invented,
            head=head,
            target=int(rng.choice(exact)),
        )

    def _word(self, kind: int, language: str) -> tuple[str, bool]:
        item, drift = self._words.types[kind], self._settings.drift
        if self._renamed(kind) and self._rng.random() < (drift.slang if item.new else drift.renamed_share):
            return item.slang[language], True
        names = item.names[language]
        everyday = not item.new and self._rng.random() < self._settings.demand.everyday_word
        return (names.everyday if everyday else names.official), False

    def _popular(self, kind: int) -> tuple[int, ...]:
        asked = [NOT_ASKED] * len(ATTRIBUTES)
        if self._rng.random() < 0.5:
            column = _HEAD_ATTRIBUTES[self._rng.integers(len(_HEAD_ATTRIBUTES))]
            choices = self._words.types[kind].values[column]
            ranks = np.arange(1, len(choices) + 1) ** -self._settings.demand.head_values
            asked[column] = choices[self._rng.choice(len(choices), p=ranks / ranks.sum())]
        return tuple(asked)

    def _particular(self, kind: int) -> tuple[int, ...]:
        demand = self._settings.demand
        wished = self._values[self._rng.choice(self._of_type[kind])]
        count = 1 + int(self._rng.choice(len(demand.tail_asked), p=demand.tail_asked))
        columns = self._rng.choice(len(ATTRIBUTES), size=count, replace=False, p=demand.asked)
        return tuple(int(wished[i]) if i in columns else NOT_ASKED for i in range(len(ATTRIBUTES)))

    def _text(self, word: str, asked: tuple[int, ...], language: str) -> str:
        """The order of the words follows from the words, so that one wish has one text."""
        style = self._words.phrasing[language]
        slots = {
            name: "" if value == NOT_ASKED else self._words.values[column][value][language]
            for column, (name, value) in enumerate(zip(ATTRIBUTES, asked, strict=True))
        }
        if slots["use"]:
            slots["use"] = style.use.format(use=slots["use"])
        order = zlib.crc32(f"{word}|{sorted(slots.items())}".encode()) % len(style.asked)
        return " ".join(style.asked[order].format(word=word, **slots).lower().split())


def query_id(text: str, language: str) -> str:
    """The same text in the same language is the same query, in whatever window it comes."""
    return "q" + hashlib.sha256(f"{language}|{text}".encode()).hexdigest()[:12]
