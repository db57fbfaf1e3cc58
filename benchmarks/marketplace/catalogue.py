"""What the shop sells in which window, and how it is listed in each language."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serm.benchmarks.marketplace.drift import Schedule, schedule
from serm.benchmarks.marketplace.settings import MarketplaceSettings
from serm.benchmarks.marketplace.vocabulary import ATTRIBUTES, Vocabulary, vocabulary


@dataclass(frozen=True, slots=True)
class Catalogue:
    """P products. A product is listed in windows `first` to `last`, both included."""

    type: NDArray[np.int64]  # (P,)
    values: NDArray[np.int64]  # (P, 5): one value for each of ATTRIBUTES
    first: NDArray[np.int64]  # (P,)
    last: NDArray[np.int64]  # (P,)
    model: NDArray[np.int64]  # (P,) a number in the product's name
    form: NDArray[np.int64]  # (P, 5): which title, text, filler; everyday title and slang as 0 or 1

    def listed(self, window: int) -> NDArray[np.int64]:
        """Indices of the products on sale in a window."""
        return np.flatnonzero((self.first <= window) & (window <= self.last))


@dataclass(frozen=True, slots=True)
class Market:
    """What every step of the simulation knows."""

    settings: MarketplaceSettings
    words: Vocabulary
    plan: Schedule
    catalogue: Catalogue


def open_market(settings: MarketplaceSettings, rng: np.random.Generator) -> Market:
    """The market of some settings, its shelves filled."""
    words = vocabulary()
    plan = schedule(settings, words)
    return Market(settings, words, plan, _fill(settings, words, plan, rng))


def _fill(
    settings: MarketplaceSettings, words: Vocabulary, plan: Schedule, rng: np.random.Generator
) -> Catalogue:
    """Fill every type's shelf at its launch; each later window replaces a share of it, the oldest first."""
    shelf = settings.products_per_type
    fresh = round(settings.assortment.turnover * shelf)
    type_: list[int] = []
    first: list[int] = []
    last: list[int] = []
    for index, launch in enumerate(plan.launch):
        on_sale: list[int] = []
        for window in range(int(launch), settings.windows + 1):
            leaving, on_sale = (on_sale[:fresh], on_sale[fresh:]) if on_sale else ([], [])
            for product in leaving:
                last[product] = window - 1
            for _ in range(shelf - len(on_sale)):
                on_sale.append(len(type_))
                type_.append(index)
                first.append(window)
                last.append(settings.windows)
    kinds = np.asarray(type_)
    count = len(kinds)
    values = np.empty((count, len(ATTRIBUTES)), dtype=np.int64)
    for index, item in enumerate(words.types):
        of_type = np.flatnonzero(kinds == index)
        for column, choices in enumerate(item.values):
            values[of_type, column] = rng.choice(choices, size=len(of_type))
    style = words.phrasing["en"]
    form = np.column_stack(
        [
            rng.integers(len(style.title), size=count),
            rng.integers(len(style.text), size=count),
            rng.integers(len(style.fillers), size=count),
            rng.random(count) < settings.assortment.everyday_titles,
            rng.random(count) < settings.assortment.slang_listings,
        ]
    ).astype(np.int64)
    return Catalogue(
        type=kinds,
        values=values,
        first=np.asarray(first),
        last=np.asarray(last),
        model=rng.integers(100, 1_000, size=count),
        form=form,
    )


def listing(market: Market, product: int, language: str) -> tuple[str, str]:
    """Title and text of one product in one language. Every attribute but the brand stands in the text."""
    catalogue, words = market.catalogue, market.words
    kind = int(catalogue.type[product])
    item, style = words.types[kind], words.phrasing[language]
    title, text, filler, everyday, mention = (int(number) for number in catalogue.form[product])
    names = item.names[language]
    slots = {
        name: words.values[column][value][language]
        for column, (name, value) in enumerate(zip(ATTRIBUTES, catalogue.values[product], strict=True))
    }
    slots["use"] = style.use.format(use=slots["use"])
    slots["name"] = names.everyday if everyday and not item.new else names.official
    slots["model"] = str(catalogue.model[product])
    slots["description"] = names.description
    if mention and catalogue.first[product] >= market.plan.slang_from[kind]:
        slots["description"] += " " + style.known_as.format(slang=item.slang[language])
    slots["filler"] = style.fillers[filler]
    return _capital(style.title[title].format(**slots)), style.text[text].format(**slots)


def document_id(market: Market, product: int, language: str) -> str:
    """An id that tells nothing of the product."""
    settings = market.settings
    key = f"{settings.preset}|{settings.seed}|{product}|{language}"
    return "d" + hashlib.sha256(key.encode()).hexdigest()[:12]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
