"""Every parameter of the simulated marketplace, in one place. docs/marketplace.md says what they mean.

They were chosen and committed before any mining or training was tuned on what they produce. None of them
comes from a real log: "chosen" stands behind every number here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from serm.core.errors import ConfigError

Preset = Literal["default", "harsh"]

LANGUAGES = ("en", "de", "es")
SET_MODULUS = 5
GATE_BUCKETS = (0,)
TEST_BUCKETS = (1,)
SEED_BUCKETS = (2, 3)
"""Of the window before the drift. Bucket 4 is kept for the stream, so that old popular queries recur."""


@dataclass(frozen=True, slots=True)
class Assortment:
    """What the shop sells."""

    turnover: float = 0.25  # share of a type's products that a window replaces by new ones
    everyday_titles: float = 0.3  # share of listings of old types whose title bears the everyday word
    slang_listings: float = 0.05  # share of listings that mention the invented word in force when listed


@dataclass(frozen=True, slots=True)
class Demand:
    """What people ask for."""

    languages: tuple[float, float, float] = (0.5, 0.25, 0.25)  # shares of en, de, es
    head: float = 0.35  # share of queries that are a popular one: the bare word, or the word and one value
    head_values: float = 1.2  # Zipf exponent of the values that popular queries ask for
    tail_asked: tuple[float, float, float] = (0.45, 0.4, 0.15)  # shares of 1, 2 and 3 asked attributes
    asked: tuple[float, ...] = (0.3, 0.22, 0.14, 0.22, 0.12)  # colour, material, size, use, brand
    accessories: float = 0.25  # share of a family's queries that ask for an accessory
    everyday_word: float = 0.4  # share of queries for old types that use the everyday word
    head_traffic: float = 60.0  # mean impressions of a popular query in a window (Poisson, plus one)
    tail_traffic: float = 6.0


@dataclass(frozen=True, slots=True)
class Drift:
    """What changes. Window 0 is before the drift; `w` counts the windows of the stream from 1."""

    new_families: int = (
        1  # that every window from 1 on brings, in the vocabulary's order, while there are any
    )
    new_family_weight: float = 3.6  # demand at launch; an old family has 1
    new_family_growth: float = 1.0  # times, a window
    slang: float = 0.8  # share of queries for new types that use the invented word
    renamed: int = 2  # old types that every window from 1 on gives an invented name, likewise
    renamed_share: float = 0.6  # share of the queries for a renamed type that use it
    renamed_weight: float = 3.0  # demand for a renamed type within its family; others have 1
    growing: str = "scooters"  # the intent that grows
    growth: float = 1.6  # times, a window
    dying: str = "players"  # the intent that dies
    dying_start: float = 1.5  # its demand in window 0
    decay: float = 0.4  # times, a window


@dataclass(frozen=True, slots=True)
class Retriever:
    """Which candidates a query gets: the highest sums of these weights and noise (Plackett-Luce)."""

    candidates: int = 20
    same_type: float = 3.0
    sibling: float = 2.2
    accessory: float = 1.8
    attribute: float = 1.0  # for each asked attribute that fits, of whatever type: hard negatives
    noise: float = 1.0  # scale of the Gumbel noise
    unknown_word: float = 0.35  # factor on the type weights in the ranking shown, where the word is invented
    ranking_noise: float = 0.7  # scale of the Gumbel noise of the ranking shown


@dataclass(frozen=True, slots=True)
class Feedback:
    """Position-based click model: P(click) = examined(position) x attracted(grade)."""

    examination: float = 0.8  # examined(p) = p ** -examination, p counts from 1
    attraction: tuple[float, float, float, float] = (0.04, 0.12, 0.35, 0.7)  # by grade
    dwell: tuple[float, float, float, float] = (6.0, 12.0, 30.0, 60.0)  # median seconds of a click, by grade
    dwell_spread: float = 0.6  # standard deviation of the log of one click's dwell


_COUNTS = (
    "windows",
    "queries_per_window",
    "gate_per_window",
    "seed_queries",
    "seed_gate",
    "static_test",
    "last_test",
    "products_per_type",
    "window_days",
)


@dataclass(frozen=True, slots=True)
class MarketplaceSettings:
    """A simulation. `MarketplaceSettings.of("harsh", seed=11)` gives a preset, with what is named changed."""

    preset: str = "default"
    seed: int = 7
    windows: int = 3  # of the stream; window 0, before the drift, comes on top
    queries_per_window: int = 160  # stream
    gate_per_window: int = 40
    seed_queries: int = 150
    seed_gate: int = 60
    static_test: int = 120  # test queries of window 0
    last_test: int = 120  # test queries of the last window
    window_test: int = 0  # test queries of each window between the two
    products_per_type: int = 10  # listed in every window
    start: datetime = datetime(2025, 1, 1)
    window_days: int = 28
    assortment: Assortment = field(default_factory=Assortment)
    demand: Demand = field(default_factory=Demand)
    drift: Drift = field(default_factory=Drift)
    retriever: Retriever = field(default_factory=Retriever)
    feedback: Feedback = field(default_factory=Feedback)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"the seed of the marketplace is {self.seed}.", "It must be 0 or more.")
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ConfigError(f"the marketplace's {name} is {getattr(self, name)}.", "Give 1 or more.")
        if self.window_test < 0:
            raise ConfigError(f"the marketplace's window_test is {self.window_test}.", "Give 0 or more.")

    @classmethod
    def of(cls, preset: str = "default", **changes: object) -> MarketplaceSettings:
        """A preset by name, with some fields changed. Raises ConfigError for a name that is none."""
        if preset not in PRESETS:
            raise ConfigError(
                f"the marketplace has no preset {preset}.", f"Choose one of {', '.join(PRESETS)}."
            )
        return replace(PRESETS[preset], **changes)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """All fields, as JSON has them."""
        return dict(json.loads(json.dumps(asdict(self), default=datetime.isoformat)))


PRESETS: Mapping[str, MarketplaceSettings] = MappingProxyType(
    {
        "default": MarketplaceSettings(),
        # More drift, noisier candidates and clicks, fewer popular queries.
        "harsh": MarketplaceSettings(
            preset="harsh",
            assortment=Assortment(turnover=0.4, slang_listings=0.02),
            demand=Demand(head=0.15, tail_asked=(0.3, 0.45, 0.25), head_traffic=25.0, tail_traffic=3.0),
            drift=Drift(new_families=2, renamed=4, slang=0.9, renamed_share=0.75, growth=2.0, decay=0.2),
            retriever=Retriever(noise=1.3, attribute=1.3, unknown_word=0.2, ranking_noise=1.0),
            feedback=Feedback(examination=1.2, attraction=(0.08, 0.15, 0.3, 0.5), dwell_spread=0.9),
        ),
    }
)

BENCHMARK_SIZE: Mapping[str, int] = MappingProxyType(
    {
        "windows": 5,
        "queries_per_window": 800,
        "gate_per_window": 120,
        "seed_queries": 400,
        "seed_gate": 150,
        "static_test": 300,
        "last_test": 300,
        "products_per_type": 20,
    }
)
"""What the benchmarks change; the fields' own defaults are the demo's size."""
