"""A model's folder for whoever serves it, without serm and its workspace."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from serm.core.errors import ModelError
from serm.relevance_model.description import read_description
from serm.storage.artifacts import find_or_create, storage_errors

_CONFIG: Final = "config_sentence_transformers.json"


def export_model(weights: Path, target: Path) -> None:
    """Copy a saved model, whole or not at all. A bi-encoder's prefixes become the prompts of
    sentence-transformers, so that `encode_query` and `encode_document` read what serm reads, and the cosine
    its similarity, whatever the base's was.

    Raises ModelError where `target` is there already, StorageError where it cannot be written.
    """
    with storage_errors(target):
        if target.exists():
            raise ModelError(f"{target} is there already.", "Name a new folder; nothing was written.")

    def make(folder: Path) -> None:
        shutil.copytree(weights, folder, dirs_exist_ok=True)
        description = read_description(folder)
        # A prompt that applies to everything would stand before what serm reads without one.
        changed: dict[str, object] = {"default_prompt_name": None}
        if description["kind"] == "biencoder":
            changed["prompts"] = {
                "query": description["query_prefix"],
                "document": description["document_prefix"],
            }
            changed["similarity_fn_name"] = "cosine"
        _change(folder / _CONFIG, changed)

    find_or_create(target.parent, target.name, make)


def left_to_the_caller(folder: Path) -> str:
    """What of a saved model sentence-transformers will not do by itself, as a sentence; "": nothing."""
    description = read_description(folder)
    prefixes = {name: description[f"{name}_prefix"] for name in ("query", "document")}
    given = [f"`{prefix}` before each {name}" for name, prefix in prefixes.items() if prefix]
    if description["kind"] == "biencoder" or not given:
        return ""
    return f"`predict` of a cross-encoder adds no prefixes: put {' and '.join(given)}."


def _change(file: Path, values: Mapping[str, object]) -> None:
    """Other values in a file of JSON."""
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(config | values, indent=2) + "\n", encoding="utf-8")
