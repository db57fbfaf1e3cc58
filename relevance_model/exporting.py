"""A model's folder for whoever serves it, without serm and its workspace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

from serm.core.errors import ModelError
from serm.relevance_model.description import read_description
from serm.storage.artifacts import find_or_create, storage_errors

_CONFIG: Final = "config_sentence_transformers.json"


def export_model(weights: Path, target: Path) -> None:
    """Copy a saved model, whole or not at all. A bi-encoder's prefixes become the prompts of
    sentence-transformers, so that `encode_query` and `encode_document` read what serm reads.

    Raises ModelError where `target` is there already, StorageError where it cannot be written.
    """
    with storage_errors(target):
        if target.exists():
            raise ModelError(f"{target} is there already.", "Name a new folder; nothing was written.")

    def make(folder: Path) -> None:
        shutil.copytree(weights, folder, dirs_exist_ok=True)
        description = read_description(folder)
        if description["kind"] == "biencoder":
            _set_prompts(folder / _CONFIG, description["query_prefix"], description["document_prefix"])

    find_or_create(target.parent, target.name, make)


def _set_prompts(file: Path, query: str, document: str) -> None:
    config = json.loads(file.read_text(encoding="utf-8"))
    config["prompts"] = {"query": query, "document": document}
    file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
