"""Queries that read like one of the gate or of a test: no label of theirs would be trained on, so none is
asked for. Texts alone are read here, no grade."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.hashing import digest_texts
from serm.evals.leakage import WordSet, reads_like, word_set
from serm.graphs.resources import Resources


@dataclass(frozen=True)
class HeldOut:
    """The word sets of all queries that a round may not learn from."""

    words: Set[WordSet]

    @cached_property
    def key(self) -> str:
        return digest_texts(sorted(" ".join(sorted(words)) for words in self.words))

    def rows(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """The rows of a pairs frame whose query reads like one of them: (n,) bool."""
        codes, texts = pd.factorize(frame["query"])
        return np.asarray(reads_like(texts, self.words)[codes])


def held_out(resources: Resources, number: int) -> HeldOut:
    """Those of round `number`: of the tests, of the gate and what the panel grades for it, to come, too."""

    def read() -> HeldOut:
        frames = resources.held_out(number).values()
        return HeldOut(frozenset(word_set(text) for frame in frames for text in frame["query"].unique()))

    return resources.once(("held out", number), read)
