"""What agents' rules made in their model's place: kept, marked, and not taken for what the model would make.

Samples and labels are named by what they are made from, the model among it. Those that rules made while its
server was away bear that name as well. So they are marked, and hold for the round of a run that made them,
which goes on as it began, also after a kill. Whoever else makes them finds the name taken, goes by another
one, and asks the model again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any, Final

from serm.core.hashing import digest
from serm.storage.artifacts import write_json
from serm.storage.reading import read_json

_MARK: Final = "fell_back.json"

Mark = dict[str, Any]


def mark_of(state: Mapping[str, Any], reason: str) -> Mark:
    """Why rules decided, and in which round of a run; None: in a call by itself, as `serm mine` is."""
    return {"reason": reason, "round": _round(state)}


def mark(folder: Path, agent: str, state: Mapping[str, Any], reason: str) -> None:
    """Say in an artefact's folder why the rules decided for `agent`; nothing where `reason` is ""."""
    if reason:
        write_json(folder / _MARK, {agent: mark_of(state, reason)})


def not_for(state: Mapping[str, Any], marks: Mapping[str, Mark]) -> bool:
    """Whether something bears a mark that is not of the same round of a run."""
    number = _round(state)
    return any(number is None or found["round"] != number for found in marks.values())


def mined_by_rules(samples: Path, name: str, state: Mapping[str, Any]) -> bool:
    """Whether that holds of a part of what was mined under `name`: the plan, or nominations."""
    files = samples.glob(f"{name}*/{_MARK}")
    return any(not_for(state, read_json(file)) for file in files)


def sound_name(name: str, taken: Callable[[str], bool]) -> str:
    """`name`, or where that is `taken` by something that rules made, the first one after it that is not."""
    names = chain([name], (digest([name, "again", number]) for number in count(1)))
    return next(found for found in names if not taken(found))


def _round(state: Mapping[str, Any]) -> int | None:
    return int(state["round"]) if state.get("evolving") else None
