"""A workspace belongs to one configuration: two in one folder would mix their results without notice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from serm.core.discretion import without_logins
from serm.core.errors import WorkspaceError, WorkspaceMismatchError
from serm.core.settings import ACCEPTED, NEVER_ACCEPTED, Settings
from serm.storage.artifacts import write_file

CHANGES = "changes.jsonl"
"""A line for each time that a workspace went on under changed settings."""
_ACCEPTED = tuple(f"{name}." for name in ACCEPTED)
_IN_A_ROUND = ("judges.", "budget.")
"""What a round that is under way can go on with other values of."""
_SHOWN = 5  # differences that a refusal names; chosen


def recorded(path: Path) -> dict[str, Any]:
    """The identity that a workspace was bound to, without logins, which earlier versions wrote down, too.
    Raises WorkspaceError where its file is damaged."""
    try:
        identity = json.loads(path.read_text(encoding="utf-8"))["identity"]
    except (ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(
            f"{path} is damaged: {error}.", "Restore it, or start in a new workspace."
        ) from error
    return dict(without_logins(identity))


def bind(path: Path, settings: Settings, *, again: bool = False) -> None:
    """Bind a new workspace to `settings`, with `again` also one that is bound already.

    Raises WorkspaceMismatchError where it is bound to others.
    """
    text = json.dumps({"fingerprint": settings.fingerprint(), "identity": settings.identity()}, indent=2)
    if again or not path.is_file():
        write_file(path, lambda temporary: _write(temporary, text))
        return
    there, here = compared(recorded(path), settings)
    if there == here:
        # It may say the same with a login in it, or without a key that came later.
        if path.read_text(encoding="utf-8") != text:
            write_file(path, lambda temporary: _write(temporary, text))
        return
    accepted = (
        "" if _unacceptable(there, here) else ", go on under the new ones by `serm evolve --accept-changes`"
    )
    raise WorkspaceMismatchError(
        f"{path.parent} belongs to another configuration "
        f"({difference(there, here, 'the workspace', 'the config')}).",
        f"Set these keys back{accepted}, or name a new `workspace:`.",
    )


def rebind(path: Path, settings: Settings, *, under_way: bool = False) -> list[str]:
    """Bind a workspace to changed settings, and write down in `CHANGES` beside `path` what changed and when.

    `under_way`: a round has begun, which is to end as it is: its judges may be others, and its budget.
    Returns the changes, "judges.0.backend: A, now B" each; [] where there are none. Raises
    WorkspaceMismatchError where a key differs that no workspace, or no round, can go on with.
    """
    there, here = compared(recorded(path), settings)
    if wrong := _unacceptable(there, here):
        raise WorkspaceMismatchError(
            f"{path.parent} cannot go on with another {', '.join(wrong)}.",
            "Set these keys back, or name a new `workspace:`.",
        )
    if under_way and (early := _outside(_IN_A_ROUND, there, here)):
        raise WorkspaceMismatchError(
            f"a round of {path.parent} is under way, and cannot go on with another {', '.join(early)}.",
            "Set these keys back, let it end (`serm evolve --rounds N`), and change them then.",
        )
    changes = [
        f"{key}: {there.get(key, 'not set')}, now {here.get(key, 'not set')}"
        for key in _differing(there, here)
    ]
    if changes:
        # Written before the binding: a kill between the two writes it twice, and loses nothing.
        with path.with_name(CHANGES).open("a", encoding="utf-8") as file:
            said = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "changes": changes}
            file.write(json.dumps(said, ensure_ascii=False) + "\n")
        bind(path, settings, again=True)
    return changes


def _unacceptable(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """The keys that differ and that no workspace can go on with another value of."""
    shaping = {*NEVER_ACCEPTED}.intersection(_differing(there, here))
    return sorted({*_outside(_ACCEPTED, there, here), *shaping})


def _outside(sections: tuple[str, ...], there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """The keys that differ and are of none of these sections."""
    return [key for key in _differing(there, here) if not f"{key}.".startswith(sections)]


def _differing(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    return sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))


def compared(identity: Mapping[str, Any], settings: Settings) -> tuple[dict[str, str], dict[str, str]]:
    """The identity that a workspace was bound to and that of `settings`, made flat (see `flat`).

    A key that came after the version that bound it counts as its default: that is what was done then, and
    nobody could set it back. One that is gone stays a difference.
    """
    return _as_today(identity), _flat_identity(settings)


def _as_today(identity: Mapping[str, Any]) -> dict[str, str]:
    settings, gone = as_today(identity)
    if settings is None:
        return flat(json.loads(json.dumps(identity)))
    return _flat_identity(settings) | gone


def as_today(written: Mapping[str, Any]) -> tuple[Settings | None, dict[str, str]]:
    """Settings that an earlier version wrote, by today's: a key that came later has its default. Beside them
    the keys that are gone, made flat (see `flat`). None where today's allow no such value."""
    values, gone = json.loads(json.dumps(written)), dict[str, str]()
    for _ in range(2):  # what is gone is in the way of the defaults
        try:
            return Settings.model_validate(values), gone
        except ValidationError as error:
            if any(item["type"] != "extra_forbidden" for item in error.errors()):
                break
            for item in error.errors():
                gone |= flat(_taken(values, item["loc"]), ".".join(map(str, item["loc"])))
    return None, gone


def _taken(values: Any, place: Sequence[int | str]) -> Any:
    for step in place[:-1]:
        values = values[step]
    return values.pop(place[-1])


def _flat_identity(settings: Settings) -> dict[str, str]:
    """Through JSON, so that a tuple equals the list that it was written as."""
    return flat(json.loads(json.dumps(settings.identity())))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def difference(there: Mapping[str, str], here: Mapping[str, str], its: str, ours: str) -> str:
    """The keys in which two settings differ, made flat: "a.b: 1 in ITS, 2 in OURS; and 3 more"."""
    different = [
        f"{key}: {there.get(key, 'not set')} in {its}, {here.get(key, 'not set')} in {ours}"
        for key in _differing(there, here)
    ]
    more = f"; and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
    return f"{'; '.join(different[:_SHOWN])}{more}"


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Dotted keys and their values as text: {"budget": {"a": 1}} becomes {"budget.a": "1"}."""
    if isinstance(value, dict) and value:
        items = value.items()
    elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        items = dict(enumerate(value)).items()
    else:
        return {prefix: json.dumps(value, ensure_ascii=False)}
    found: dict[str, str] = {}
    for key, item in items:
        found |= flat(item, f"{prefix}.{key}" if prefix else str(key))
    return found
