"""The drift as a table: what exists and how much it is asked for, window by window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serm.benchmarks.marketplace.settings import MarketplaceSettings
from serm.benchmarks.marketplace.vocabulary import ProductType, Vocabulary

NEVER = 1_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """W + 1 windows (0 is before the drift), F families, T types."""

    family_weights: NDArray[np.float64]  # (W + 1, F), rows sum to 1; 0 before a family's launch
    launch: NDArray[np.int64]  # (T,): first window whose assortment has the type; NEVER where none has
    slang_from: NDArray[np.int64]  # (T,): first window in which people use its invented word


def schedule(settings: MarketplaceSettings, words: Vocabulary) -> Schedule:
    """When what appears: the stated drift, the same for every random seed."""
    drift = settings.drift
    family_launch = {
        family: 1 + rank // drift.new_families if drift.new_families else NEVER
        for rank, family in enumerate(words.new_families)
    }
    renamed_from = {
        name: 1 + rank // drift.renamed if drift.renamed else NEVER for rank, name in enumerate(words.renamed)
    }

    def slang_from(item: ProductType) -> int:
        if not item.slang:
            return NEVER
        return family_launch[item.family] if item.new else renamed_from[item.id]

    weights = np.zeros((settings.windows + 1, len(words.families)))
    for column, family in enumerate(words.families):
        for window in range(settings.windows + 1):
            weights[window, column] = _weight(settings, family, window, family_launch.get(family))
    return Schedule(
        family_weights=weights / weights.sum(axis=1, keepdims=True),
        launch=np.asarray([family_launch.get(item.family, 0) for item in words.types]),
        slang_from=np.asarray([slang_from(item) for item in words.types]),
    )


def _weight(settings: MarketplaceSettings, family: str, window: int, launch: int | None) -> float:
    drift = settings.drift
    if launch is not None:
        late = window - launch
        return drift.new_family_weight * drift.new_family_growth**late if late >= 0 else 0.0
    if family == drift.growing:
        return float(drift.growth**window)
    if family == drift.dying:
        return float(drift.dying_start * drift.decay**window)
    return 1.0
