"""`serm.json`: what a saved model is, beside its weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from serm.core.errors import ModelError
from serm.storage.artifacts import storage_errors

FILE = "serm.json"
_FILES: Final = "files"
_NO_PART: Final = (".md",)  # what people write beside a model
UNTRAINED: Final = "untrained-"
"""How the folder of a base as it comes is called, before its key."""
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "biencoder": ("head", "max_length", "query_prefix", "document_prefix"),
    "crossencoder": ("temperature", "max_length", "query_prefix", "document_prefix"),
}


def write_description(folder: Path, description: Mapping[str, object]) -> None:
    """Once the folder holds all else: `files` are the sizes of what lies in it."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        files = {name: (folder / name).stat().st_size for name in _files(folder)}
        text = json.dumps({**description, _FILES: files}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (folder / FILE).write_text(text, encoding="utf-8")


def read_description(folder: Path) -> dict[str, Any]:
    """Raises ModelError where the folder holds none, one that lacks something or says what cannot be, or
    where a file of the model is gone or cut: libraries fill what they do not find with random numbers."""
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
    wrong = [name for name, fits in _FITS.items() if name in description and not fits(description[name])]
    if wrong:
        said = f"{wrong[0]}: {json.dumps(description[wrong[0]])[:80]}"
        raise ModelError(f"{folder / FILE} says what cannot be ({said}).", way_on(folder))
    for name, size in description.get(_FILES, {}).items():
        _require(folder / name, size, folder)
    return description


def _require(file: Path, size: int, folder: Path) -> None:
    """JSON may have been written anew, by an export or by hand; of all else the size is that of the day."""
    found = file.stat().st_size if file.is_file() else None
    if found is None or (found != size and file.suffix != ".json"):
        fault = "is not there" if found is None else f"has {found:,} bytes and was saved with {size:,}"
        raise ModelError(f"the model {folder} is damaged: {file.name} {fault}.", way_on(folder))


def _files(folder: Path) -> list[str]:
    found = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    names = (name.as_posix() for name in found if name.name[0] != "." and name.suffix not in _NO_PART)
    return sorted(name for name in names if name != FILE)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_temperature(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0


_FITS: Final[Mapping[str, Callable[[object], bool]]] = {
    "kind": _is_text,
    "query_prefix": _is_text,
    "document_prefix": _is_text,
    "max_length": _is_length,
    "temperature": _is_temperature,
    _FILES: lambda value: isinstance(value, dict) and all(isinstance(size, int) for size in value.values()),
}


def way_on(folder: Path) -> str:
    """What to do where a saved model is damaged or gone. A trained one is never to be deleted: nothing makes
    it again, as the round that trained it is over."""
    if folder.name.startswith(UNTRAINED):
        return "Delete the folder and run the same command again; it is made anew."
    return (
        "Put the folder back from a copy (one of `serm models export` will do). Where no round is under way, "
        "another version will do, too: `serm models promote`."
    )
