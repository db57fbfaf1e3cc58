"""The marketplace's words: product types, attributes and languages, read from vocabulary.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

ATTRIBUTES = ("colour", "material", "size", "use", "brand")
"""The order of the attribute columns everywhere."""

_LISTS = {"colour": "colours", "material": "materials", "size": "sizes", "use": "uses"}


@dataclass(frozen=True, slots=True)
class Names:
    """What one language calls a product type."""

    official: str  # what shops write
    everyday: str
    description: str


@dataclass(frozen=True, slots=True)
class ProductType:
    id: str
    family: str
    accessory: bool
    new: bool  # of a family that the drift brings
    names: Mapping[str, Names]  # by language
    slang: Mapping[str, str]  # the invented word, by language; empty where there never is one
    values: tuple[tuple[int, ...], ...]  # for each of ATTRIBUTES, the values that products of it can have


@dataclass(frozen=True, slots=True)
class Phrasing:
    """How one language puts a query and a listing together."""

    use: str
    asked: tuple[str, ...]
    title: tuple[str, ...]
    text: tuple[str, ...]
    known_as: str
    fillers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    types: tuple[ProductType, ...]
    families: tuple[str, ...]  # the old ones, then the new ones in the order in which they appear
    new_families: tuple[str, ...]
    renamed: tuple[str, ...]  # old types with an invented name, in the order in which they get it
    values: tuple[tuple[Mapping[str, str], ...], ...]  # ATTRIBUTES x value: its word by language
    phrasing: Mapping[str, Phrasing]


@cache
def vocabulary() -> Vocabulary:
    """The one vocabulary, read once."""
    text = files("serm.benchmarks.marketplace").joinpath("vocabulary.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text)
    tables = {kind: list(raw[listed]) for kind, listed in _LISTS.items()}
    brands = tuple(dict.fromkeys(raw["words"], name) for name in raw["brands"])
    renamed = dict(raw["renamed"])
    types = tuple(
        _type(entry, family, tables, len(brands), renamed, accessory=accessory, new=new)
        for new, families in ((False, raw["families"]), (True, raw["new_families"]))
        for family in families
        for accessory, entries in ((False, family["types"]), (True, family["accessories"]))
        for entry in entries
    )
    return Vocabulary(
        types=types,
        families=tuple(family["id"] for family in raw["families"] + raw["new_families"]),
        new_families=tuple(family["id"] for family in raw["new_families"]),
        renamed=tuple(renamed),
        values=(*(tuple(raw[listed].values()) for listed in _LISTS.values()), brands),
        phrasing={
            language: Phrasing(
                use=words["for"],
                asked=tuple(words["asked"]),
                title=tuple(words["title"]),
                text=tuple(words["text"]),
                known_as=words["known_as"],
                fillers=tuple(words["fillers"]),
            )
            for language, words in raw["words"].items()
        },
    )


def _type(
    entry: Mapping[str, Any],
    family: Mapping[str, Any],
    tables: Mapping[str, list[str]],
    brands: int,
    renamed: Mapping[str, str],
    *,
    accessory: bool,
    new: bool,
) -> ProductType:
    languages = [key for key in entry if key not in ("id", "slang")]
    slang = entry.get("slang", renamed.get(entry["id"], {}))
    return ProductType(
        id=entry["id"],
        family=family["id"],
        accessory=accessory,
        new=new,
        names={language: Names(*entry[language]) for language in languages},
        slang=slang if isinstance(slang, dict) else dict.fromkeys(languages, slang),
        values=(
            *(
                tuple(tables[kind].index(value) for value in family[listed])
                for kind, listed in _LISTS.items()
            ),
            tuple(range(brands)),
        ),
    )
