"""Self-training: the model in use is the judge of what it was asked to learn. A baseline, not a panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serm.core.errors import SermError
from serm.core.records import Answer, GradeDistribution, Pair
from serm.llm.base import Record, unrecorded


@dataclass(frozen=True, slots=True)
class OwnModel:
    """The model that is in use when a round begins."""

    key: str
    probabilities: Callable[[Pair], NDArray[np.float32]]  # (4,) of one pair


class ModelJudge:
    """Fulfils `Judge`: the likeliest grade of the model in use, with its probabilities.

    `open_model` is called when it is first needed. The model's key is part of the cache key, so that another
    model is asked anew.
    """

    simulated = False
    deterministic = True
    remote = False
    model = "champion"
    prompt_hash = ""

    def __init__(self, name: str, open_model: Callable[[], OwnModel]) -> None:
        self.name = name
        self.sampling: Mapping[str, object] = {}
        self._open = open_model
        self._own: OwnModel | None = None

    @property
    def revision(self) -> str:
        """The model's key."""
        return self._opened().key

    async def answer(self, pair: Pair, path: int) -> Answer:  # noqa: ARG002 - every path says the same
        p0, p1, p2, p3 = (float(value) for value in self._opened().probabilities(pair))
        shares: GradeDistribution = (p0, p1, p2, p3)
        return Answer(grade=int(np.argmax(shares)), distribution=shares, requests=0)

    def evidence(self, pair: Pair) -> str:  # noqa: ARG002 - the model alone decides
        return ""

    async def prove(self, record: Record = unrecorded) -> str:  # noqa: ARG002 - it asks nobody
        try:
            self._opened()
        except SermError as error:
            return str(error)
        return ""

    async def close(self) -> None:
        return None

    def _opened(self) -> OwnModel:
        if self._own is None:
            self._own = self._open()
        return self._own
