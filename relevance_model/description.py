"""`serm.json`: what a saved model is, beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serm.core.errors import ModelError
from serm.storage.artifacts import storage_errors

FILE = "serm.json"


def write_description(folder: Path, description: Mapping[str, object]) -> None:
    text = json.dumps(description, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(text, encoding="utf-8")


def read_description(folder: Path) -> dict[str, Any]:
    """Raises ModelError where the folder holds none."""
    try:
        description = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder} holds no relevance model: {FILE} cannot be read ({error}).",
            "Delete the folder and run the same command again; it is made anew.",
        ) from error
    if not isinstance(description, dict) or "kind" not in description:
        raise ModelError(f"{folder / FILE} does not say what kind of model it is.")
    return description
