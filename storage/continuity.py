"""A workspace goes on with the data that it began with, or with the same stream grown longer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from serm.core.errors import WorkspaceMismatchError
from serm.storage.artifacts import write_file
from serm.storage.dataset import DataSet

CURRENT: Final = "current.json"


def keep_to_data(path: Path, dataset: DataSet) -> None:
    """Note in `path` which data set the workspace uses.

    The input files may have changed since the last run. New windows behind the old ones are welcome. Raises
    WorkspaceMismatchError where the seed or an old window is another: earlier rounds would not fit.
    """
    now = {
        "id": dataset.id,
        "seed": dataset.seed_id,
        "windows": [[window.name, window.id] for window in dataset.windows],
    }
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if before is not None and before["id"] == now["id"]:
        return
    if before is not None:
        _refuse_another_past(before, now, path)
    text = json.dumps(now, indent=2, ensure_ascii=False)
    write_file(path, lambda temporary: _write(temporary, text))


def _refuse_another_past(before: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    changed = [] if before["seed"] == now["seed"] else ["the seed"]
    for index, window in enumerate(before["windows"]):
        if index >= len(now["windows"]) or now["windows"][index] != window:
            changed.append(f"window {window[0]}")
    if changed:
        raise WorkspaceMismatchError(
            f"the input files have changed since {path.parent.parent} was made: {changed[0]} is another.",
            "Put the files back, or name a new `workspace:`.",
        )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
