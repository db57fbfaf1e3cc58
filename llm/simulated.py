"""A judge of stated accuracy, for simulations alone: it is handed the truth, and what it says is marked.

It is right with probability `accuracy`. Of its error mass the share `shared` is common to all judges of one
panel that bear the same seed: they err together, on the same wrong grade. The rest is each judge's own. A
wrong grade is uniform over the other three. Nothing is drawn from a generator: every draw is a hash of the
seed, the judge or the panel, and the pair, so a judge says the same of a pair whenever it is asked. With
`path` above 0 that share of its own errors is drawn anew on each reasoning path: a majority of them mends it.
"""

from __future__ import annotations

from collections.abc import Mapping

from serm.core.hashing import unit_interval
from serm.core.records import GRADES, Answer, Failure, FailureKind, Pair, PairKey
from serm.llm.base import Record, unrecorded

_PANEL = "panel"


class SimulatedJudge:
    """Fulfils `Judge`; `truth` holds the sealed grades and is opened for nobody else."""

    simulated = True
    remote = False
    model = "simulated"
    revision = "1"  # of the formula above
    prompt_hash = ""

    def __init__(
        self,
        name: str,
        truth: Mapping[PairKey, int],
        *,
        accuracy: float,
        shared: float,
        seed: float,
        path: float = 0.0,
    ) -> None:
        self.name, self.deterministic = name, path == 0
        self.sampling: Mapping[str, object] = {
            **{"accuracy": accuracy, "shared": shared, "seed": int(seed)},
            **({"path": path} if path else {}),
        }
        self._truth, self._seed = truth, int(seed)
        self._common = shared * (1 - accuracy)
        # Given no common error a judge is right with accuracy / (1 - common): in all, with `accuracy`.
        self._right = accuracy / (1 - self._common) if self._common < 1 else 0.0
        # Of what is left the share `path` is drawn on each path, from the pairs without a lasting error.
        lasting = (1 - self._right) * (1 - path)
        self._lasting = 1 - lasting
        self._slip = (1 - self._right) * path / self._lasting if lasting < 1 else 0.0

    async def answer(self, pair: Pair, path: int) -> Answer:
        return self.grade(pair.key, path)

    def grade(self, key: PairKey, path: int = 0) -> Answer:
        """What it says of a pair along a path; a failure where the truth has no grade."""
        true = self._truth.get(key)
        if true is None:
            return Answer(
                failure=Failure(FailureKind.MISSING, "the simulation knows no grade of this pair"),
                requests=0,
            )
        if unit_interval(self._seed, _PANEL, *key) < self._common:
            return Answer(grade=self._wrong(true, _PANEL, key), requests=0)
        if unit_interval(self._seed, self.name, *key) >= self._lasting:
            return Answer(grade=self._wrong(true, self.name, key), requests=0)
        if self._slip and unit_interval(self._seed, self.name, *key, path) < self._slip:
            return Answer(grade=self._wrong(true, f"{self.name} on path {path}", key), requests=0)
        return Answer(grade=int(true), requests=0)

    def _wrong(self, true: int, who: str, key: PairKey) -> int:
        others = [grade for grade in GRADES if grade != true]
        return others[int(unit_interval(self._seed, who, *key, "wrong grade") * len(others))]

    def evidence(self, pair: Pair) -> str:  # noqa: ARG002 - the pair alone decides
        return ""

    async def prove(self, record: Record = unrecorded) -> str:  # noqa: ARG002 - it asks nobody
        return ""

    async def close(self) -> None:
        return None
