"""What a judge is to the rest of serm, whatever answers for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from serm.core.records import Answer, Pair


class Judge(Protocol):
    """Grades one pair along one reasoning path. It never raises for a call that failed: that is an `Answer`
    with a failure. It raises JudgeError where nothing will ever work (an unknown model, a refused key)."""

    name: str
    model: str
    revision: str
    prompt_hash: str
    sampling: Mapping[str, object]  # temperature and the like: part of the cache key
    simulated: bool  # shown wherever its output shows
    deterministic: bool  # further paths would answer the same: one is enough

    async def answer(self, pair: Pair, path: int) -> Answer:
        """One path's answer; `path` counts from 0 and seeds the sampling."""

    async def prove(self) -> str:
        """A sentence that says why this judge cannot work, or "" where a constrained call obeyed."""

    async def close(self) -> None:
        """Free what it holds."""
