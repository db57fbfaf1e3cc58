"""A budget shared out among agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OVERSAMPLE: Final = 3
"""Nominations for each pair of an agent's share, at most: what diversity has to choose from; chosen."""


def shared_out(budget: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers that sum to `budget`, in proportion to `shares` (largest remainder, ties by order)."""
    total = sum(shares.values())
    if total <= 0:
        return dict.fromkeys(shares, 0)
    exact = {name: budget * share / total for name, share in shares.items()}
    quotas = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: quotas[name] - exact[name])
    for name in by_remainder[: budget - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def nomination_quotas(budget: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many pairs each agent may nominate."""
    return {name: OVERSAMPLE * quota for name, quota in shared_out(budget, shares).items()}
