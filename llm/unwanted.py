"""Parts of a request that some models refuse by name: a temperature (models that reason), a seed, and of an
agent's that it has to call a tool. Pure.

Unlike what `features` gives up, these are left out only where the refusal names them: they say how the model
draws its answer, and are never dropped on a guess. A refusal of a pair may name them, too (a query for seeds,
in an echo of it): so they stay out only once a request without them was answered, and one that was accepted
before is not what was refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

PARTS: Final = ("temperature", "seed")
CHOICE: Final = "tool_choice"
"""Of judges it is among the `features`; agents are asked in no other way, and give it up alone."""
_NAMED: Final[Mapping[str, re.Pattern[str]]] = {
    **{name: re.compile(rf"\b{name}\b", re.IGNORECASE) for name in PARTS},
    CHOICE: re.compile(r"tool_?choice", re.IGNORECASE),
}


class Unwanted:
    """What one model was seen to refuse of these parts, and to accept."""

    def __init__(self, parts: Collection[str] = PARTS) -> None:
        self._parts = parts
        self.refused: frozenset[str] = frozenset()
        self._accepted: set[tuple[str, Any]] = set()

    def named(self, request: Mapping[str, Any], refusal: str) -> frozenset[str]:
        """The parts that a refusal may mean: it names them, and the model has not accepted them."""
        there = [name for name in self._parts if name in request and _NAMED[name].search(refusal)]
        return frozenset(name for name in there if _one(name, request) not in self._accepted)

    def answered(self, request: Mapping[str, Any], without: Collection[str]) -> None:
        """A request was answered, after it was refused with the parts in `without`."""
        self._accepted.update(_one(name, request) for name in self._parts if name in request)
        self.refused = self.refused.union(without)


def _one(name: str, request: Mapping[str, Any]) -> tuple[str, Any]:
    """A part as the model takes it or not: some know one temperature alone, and a seed is a seed."""
    return name, request[name] if name == "temperature" else None
