"""Floors of a sample: so many pairs at least of each language and each stratum of frequency.

Pairs are taken one by one. One that serves a group still under its floor is always welcome; any other only
while the rest of the budget is more than what is still owed to all groups together. So floors are met by what
the agents nominated as far as it goes, and no pair is taken that a floor needs the place of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.tools.desk import Ints, MiningDesk
from serm.tools.strata import STRATA


@dataclass(frozen=True, slots=True)
class Floor:
    """Groups of rows, and how many pairs each is to have."""

    codes: Ints  # (n,): the group of each row of the window
    owed: Ints  # (groups,)


class Floors:
    """What is owed while a sample is made."""

    def __init__(self, floors: Sequence[Floor]) -> None:
        self._codes = [floor.codes for floor in floors]
        self._owed = [floor.owed.copy() for floor in floors]
        self.outstanding = sum(int(owed.sum()) for owed in self._owed)

    def allow(self, row: int, left: int) -> bool:
        """Whether a row may be taken while the budget has room for `left` more."""
        return left > self.outstanding or any(
            owed[codes[row]] > 0 for codes, owed in zip(self._codes, self._owed, strict=True)
        )

    def took(self, row: int) -> None:
        for codes, owed in zip(self._codes, self._owed, strict=True):
            if owed[codes[row]] > 0:
                owed[codes[row]] -= 1
                self.outstanding -= 1

    def waive(self) -> None:
        """Owe nothing more: what is left of the groups may not be taken for other reasons."""
        self._owed = [np.zeros_like(owed) for owed in self._owed]
        self.outstanding = 0


def floors_of(desk: MiningDesk, budget: int) -> Floors:
    """What `miner.floors` asks of this window under this budget; nothing by default."""
    wanted = desk.settings.floors
    floors = []
    if wanted.language:
        codes, _ = pd.factorize(desk.window["language"].fillna(""))
        floors.append(_floor(codes.astype(np.int64), wanted.language, desk.unlabelled, budget))
    if wanted.stratum:
        names = desk.query_strata[desk.query_index]
        codes = np.select([names == name for name in STRATA], range(len(STRATA)))
        floors.append(_floor(codes.astype(np.int64), wanted.stratum, desk.unlabelled, budget))
    total = sum(int(floor.owed.sum()) for floor in floors)
    if total > budget:
        floors = [Floor(floor.codes, floor.owed * budget // total) for floor in floors]
    return Floors(floors)


def _floor(codes: Ints, share: float, free: NDArray[np.bool_], budget: int) -> Floor:
    there = np.bincount(codes[free], minlength=int(codes.max(initial=-1)) + 1)
    return Floor(codes, np.minimum(int(round(share * budget, 6)), there))
