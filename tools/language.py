"""The language of queries where the log names none, by py3langid.

Short texts are told apart badly ("zapatillas rojas" reads like Quechua), so a query that is not clear by
itself is read together with its documents, and then only the languages that make up some share of the log
come into question. Windows that are compared go by the same languages: one with 1.9% of one and 2.1% of
the next would else be new there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

SURE: Final = 0.9
"""Probability from which a query's own text decides; chosen."""
SPOKEN: Final = 0.02
"""Share of the queries under which a language is taken for a mistake; chosen."""

LEAST: Final = 5
"""Queries of a window that make a language come into question in others, too; chosen."""

_NONE: Final[Mapping[str, int]] = MappingProxyType({})
_LENGTH = 400  # characters of a text that are read; more tell little more
_DOCUMENTS = 5  # of a query


def with_languages(window: pd.DataFrame, spoken: Set[str] = frozenset()) -> pd.DataFrame:
    """The window with a language (ISO 639-1) in every row; languages that the log names stay. `spoken`: those
    that come into question, where that was decided for several windows at once."""
    return read_languages(window, spoken)[0]


def read_languages(
    window: pd.DataFrame, spoken: Set[str] = frozenset(), texts: Mapping[str, Sequence[str]] | None = None
) -> tuple[pd.DataFrame, pd.Series]:
    """The same, and for every row what its query reads like by itself, were that ever so rare; where the log
    names a language, that. `texts`: those of `read_with`, where they were read."""
    named = window["language"].fillna("").astype(str)
    missing = (named == "").to_numpy()
    if not missing.any():
        return window, named
    texts = read_with(window) if texts is None else texts
    told = window.loc[~missing, ["query"]].assign(language=named[~missing]).drop_duplicates()
    guesses = guesses_of(texts)
    found = languages_of(texts, Counter(told["language"].tolist()), spoken, guesses)
    first, settled = (named.mask(missing, window["query"].map(of)) for of in (guesses, found))
    return window.assign(language=settled), first


def read_with(window: pd.DataFrame) -> dict[str, list[str]]:
    """What each query of which the log names no language is read together with: the texts of its first
    documents, of each what is read."""
    rows = window.loc[window["language"].fillna("").astype(str) == "", ["query", "title", "text"]]
    heads = rows.groupby("query", sort=False, observed=True, dropna=False).head(_DOCUMENTS)
    heads = heads.astype("str").fillna("")  # texts that came coded are plain from here on
    heads["document"] = heads["title"].where(heads["title"] != "", heads["text"]).str[:_LENGTH]
    return {str(query): list(part) for query, part in heads.groupby("query", sort=False)["document"]}


def guesses_of(texts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What each query reads like, given its documents."""
    return {query: identify(query, documents) for query, documents in texts.items()}


def languages_of(
    texts: Mapping[str, Sequence[str]],
    named: Mapping[str, int] = _NONE,
    spoken: Set[str] = frozenset(),
    guesses: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The language of each query, given its documents. Rare guesses give way to the log's own languages, or
    to those that are `spoken`; `named` says in how many queries the log itself names which; `guesses`: those
    of `guesses_of`, where they were made."""
    first = guesses or guesses_of(texts)
    counts = Counter(first.values())
    for name, count in named.items():
        counts[_base(name)] += count
    own = {name for name, count in counts.items() if count >= SPOKEN * counts.total()}
    among = frozenset(spoken or own) & known_languages()
    return {
        query: guess if guess in among else identify(query, texts[query], among)
        for query, guess in first.items()
    }


def spoken_in(languages: Sequence[str]) -> frozenset[str]:
    """What a window with queries in these languages brings into question, there and elsewhere."""
    counts = Counter(map(_base, languages))
    enough = max(LEAST, SPOKEN * counts.total())
    return frozenset(name for name, count in counts.items() if count >= enough) & known_languages()


def _base(language: str) -> str:
    """de-AT is German."""
    return language.lower().partition("-")[0]


def identify(query: str, documents: Sequence[str] = (), among: frozenset[str] = frozenset()) -> str:
    """The language of a query: of its own text where that is clear, else of it and its documents.

    `among`: the languages that come into question; none named: all that py3langid knows.
    """
    identifier = _identifier(among)
    language, probability = identifier.classify(query[:_LENGTH])
    if float(probability) >= SURE or not documents:
        return str(language)
    return str(identifier.classify(f"{query} {' '.join(documents)}"[:_LENGTH])[0])


def known_languages() -> frozenset[str]:
    return frozenset(map(str, _identifier(frozenset()).nb_classes))


@lru_cache(maxsize=8)
def _identifier(among: frozenset[str]) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if among:
        identifier.set_languages(sorted(among))
    return identifier
