"""`serm.json`: what a saved model is, beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from serm.core.errors import ModelError
from serm.storage.artifacts import storage_errors

FILE = "serm.json"
UNTRAINED: Final = "untrained-"
"""How the folder of a base as it comes is called, before its key."""
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "biencoder": ("head", "max_length", "query_prefix", "document_prefix"),
    "crossencoder": ("temperature", "max_length", "query_prefix", "document_prefix"),
}


def write_description(folder: Path, description: Mapping[str, object]) -> None:
    text = json.dumps(description, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(text, encoding="utf-8")


def read_description(folder: Path) -> dict[str, Any]:
    """Raises ModelError where the folder holds none, or one that lacks something."""
    try:
        description = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder} holds no relevance model: {FILE} cannot be read ({error}).",
            way_on(folder),
        ) from error
    if not isinstance(description, dict) or "kind" not in description:
        raise ModelError(f"{folder / FILE} does not say what kind of model it is.", way_on(folder))
    missing = [name for name in _NEEDED.get(str(description["kind"]), ()) if name not in description]
    if missing:
        raise ModelError(f"{folder / FILE} lacks {', '.join(missing)}.", way_on(folder))
    return description


def way_on(folder: Path) -> str:
    """What to do where a saved model is damaged or gone. A trained one is never to be deleted: nothing makes
    it again, as the round that trained it is over."""
    if folder.name.startswith(UNTRAINED):
        return "Delete the folder and run the same command again; it is made anew."
    return (
        "Put the folder back from a copy (one of `serm models export` will do). Where no round is under way, "
        "another version will do, too: `serm models promote`."
    )
