"""The runs of a protocol by their names, and where each of them is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serm.benchmarks.protocol import run_folder

DONE: Final = "done.json"


@dataclass(frozen=True, slots=True)
class Run:
    """One arm under one seed, in one fold where the protocol has several."""

    arm: str
    seed: int
    folder: Path
    fold: str = ""

    @property
    def place(self) -> str:
        """Its seed and fold, as messages and MLflow name them."""
        return f"seed {self.seed}, {self.fold}" if self.fold else f"seed {self.seed}"

    @property
    def done(self) -> bool:
        """Whether it has ended; `require_same` says whether as the protocol would have it now."""
        return (self.folder / DONE).is_file()


def runs_of(out: Path, arms: Sequence[str], seeds: Sequence[int], folds: Iterable[str] = ("",)) -> list[Run]:
    """All runs, seed by seed: what the arms of a seed share is made by the first and found by the others."""
    places = [(seed, fold) for seed in seeds for fold in folds]
    return [Run(arm, seed, run_folder(out, arm, seed, fold), fold) for seed, fold in places for arm in arms]
