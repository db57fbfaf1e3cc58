"""Parts of a request that some models refuse by name: a temperature (models that reason), a seed. Pure.

Unlike what `features` gives up, these are left out only where the refusal names them: they say how the model
draws its answer, and are never dropped on a guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

PARTS: Final = ("temperature", "seed")
_NAMED: Final[Mapping[str, re.Pattern[str]]] = {
    name: re.compile(rf"\b{name}\b", re.IGNORECASE) for name in PARTS
}


def unwanted(request: Mapping[str, Any], refusal: str) -> frozenset[str]:
    """The parts of this request that a refusal names."""
    return frozenset(name for name, named in _NAMED.items() if name in request and named.search(refusal))
