"""A workspace goes on with what its rounds have used. What none has used yet may grow, or be cut anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd

from serm.core.columns import KEY
from serm.core.errors import WorkspaceError, WorkspaceMismatchError
from serm.core.hashing import digest
from serm.storage.artifacts import write_file
from serm.storage.dataset import DataSet
from serm.storage.reading import read_json
from serm.storage.windows_used import windows_used

_MEASURED: Final = (*KEY, "query", "title", "text", "language", "grade")
"""What measuring by a row depends on."""

Rows = set[tuple[int, int]]  # (the window that a row opens with, its hash)


def keep_to_data(path: Path, dataset: DataSet) -> None:
    """Note in `path` which data set the workspace uses.

    The input files may have changed since the last run. Windows that no round has used may be others, and
    further ones may follow; gate and test rows that come with them are welcome. Raises WorkspaceMismatchError
    where the seed, a window that a round has used, the gate that was open in one, or a test is another:
    earlier rounds would not fit, or the one that is under way would go on with other data than it began with.
    """
    before = _note(path)
    if before is not None and before["id"] == dataset.id and "gate" in before:
        return
    if refused := refusal(path, dataset):
        raise refused
    text = json.dumps(_noted(dataset), indent=2, ensure_ascii=False)
    write_file(path, lambda temporary: _write(temporary, text))


def refusal(path: Path, dataset: DataSet) -> WorkspaceMismatchError | None:
    """Why a workspace whose note is `path` would not go on with a data set; None where it would."""
    before = _note(path)
    if before is None or before["id"] == dataset.id:
        return None
    used = windows_used(path.parent.parent)
    if used is None:  # nothing hangs on the data yet
        return None
    old = _data_set(path.parent / before["id"])
    now = _noted(dataset)
    changed = next(_changes(before, now, old, dataset, used), None)
    if changed is None:
        return None
    return WorkspaceMismatchError(
        f"the input files have changed since {path.parent.parent} was made: {changed}{_since(before, now)}.",
        "Put the files back, or name a new `workspace:`. Where a log goes on, no round should take a window "
        "that is not over: `data.windows: {by: time, open: hold}` keeps it back.",
    )


def _note(path: Path) -> dict[str, Any] | None:
    """What was noted; None where nothing was. Raises WorkspaceError where the note is damaged."""
    if not path.is_file():
        return None
    note: dict[str, Any] = read_json(
        path,
        "Put a copy of the file back. Without one, remove it if the input files are those of the last run: "
        "the next run writes it again, and does not see whether they have changed.",
    )
    return note


def _noted(dataset: DataSet) -> dict[str, Any]:
    return {
        "id": dataset.id,
        "seed": dataset.seed_id,
        "windows": [[window.name, window.id, window.pairs_id] for window in dataset.windows],
        "gate": _name(_gate(dataset)),
        "tests": {test.name: _name(_test(dataset, test.name)) for test in dataset.tests},
    }


def _changes(
    before: dict[str, Any], now: dict[str, Any], old: DataSet | None, dataset: DataSet, used: int
) -> Iterator[str]:
    """What rounds that used the first `used` windows (0: round 0 alone) would not fit any more."""
    if before["seed"] != now["seed"]:
        yield "the seed is another"
    for index, window in enumerate(before["windows"][:used]):
        if index >= len(now["windows"]) or not _same_window(window, now["windows"][index]):
            yield f"window {window[0]} is another"
    if "gate" not in before:  # of an earlier version, which did not note them: taken as they are
        return
    grew = _grew(before["windows"][used:], now["windows"][used:])
    if before["gate"] != now["gate"] and (old is None or _gate_is_another(old, dataset, used, grew=grew)):
        yield "the gate has other rows or grades than it had in rounds that it decided"
    for name, rows in before["tests"].items():
        if rows != now["tests"].get(name) and (
            old is None or _test_is_another(_test(old, name), _test(dataset, name), grew=grew)
        ):
            yield f"the test {name} has other rows or grades"


def _since(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Periods count from the first row's day: one row with a wrong date moves and renames them all."""
    first = [data["windows"][0][0] if data["windows"] else "" for data in (before, now)]
    if first[0] == first[1] or not all(first):
        return ""
    return f" (the first window was {first[0]} and is {first[1]} now: has a row a wrong `timestamp`?)"


def _grew(before: list[list[str]], now: list[list[str]]) -> bool:
    """Whether the stream is another where no round has used it."""
    return len(before) != len(now) or not all(map(_same_window, before, now))


def _same_window(before: list[str], now: list[str]) -> bool:
    """Each its name, its id, and that of its pairs, which an earlier version did not note. A log that grows
    may have counted more in a window that has been mined: its pairs are the same."""
    return before[:2] == now[:2] or (len(before) == len(now) and [before[0], before[2]] == [now[0], now[2]])


def _gate_is_another(old: DataSet, new: DataSet, used: int, *, grew: bool) -> bool:
    """Among the rows that open with the first `used` windows or before them. Rows that opened with the last
    window may open later once the stream has grown, and others may be there that came with it."""
    last = len(old.windows) - 1
    there, here = (
        {(min(opens, last), row) for opens, row in _gate(data) if opens < used} for data in (old, new)
    )
    moved = {(min(opens, last), row) for opens, row in _gate(new)} if grew else here
    return not there <= moved or any(not (grew and opens == last) for opens, _ in here - there)


def _test_is_another(there: Rows, here: Rows, *, grew: bool) -> bool:
    """Rows may come with a stream that grew, and only with it."""
    return not there <= here or (there != here and not grew)


def _gate(data: DataSet) -> Rows:
    frame = data.gate(len(data.windows), (*_MEASURED, "opens"))
    return set(zip(frame["opens"].tolist(), _hashes(frame), strict=True))


def _test(data: DataSet, name: str) -> Rows:
    return {(0, row) for row in _hashes(data.test(name, _MEASURED))}


def _hashes(frame: pd.DataFrame) -> list[int]:
    return [int(row) for row in pd.util.hash_pandas_object(frame[[*_MEASURED]], index=False)]


def _name(rows: Rows) -> str:
    """Whatever the order of the rows."""
    return digest([list(row) for row in sorted(rows)])


def _data_set(folder: Path) -> DataSet | None:
    try:
        return DataSet.load(folder)
    except WorkspaceError:  # somebody removed it
        return None


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
