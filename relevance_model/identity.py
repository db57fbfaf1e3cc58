"""What a network is: the hash of everything that its output depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import torch

from serm.core.hashing import HASH_LENGTH, digest, digest_file


def weights_id(model: Any, without: Collection[str] = ()) -> str:
    """Content hash of every tensor, the vocabulary and the settings of the modules above the transformer.
    `without`: names of tensors that do not count."""
    state = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name in without:
            continue
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
    upper = [
        [type(module).__name__, module.get_config_dict()]
        for module in model.children()
        if hasattr(module, "get_config_dict") and not hasattr(module, "tokenizer")
    ]
    state.update(digest([model.tokenizer.get_vocab(), upper]).encode())
    return state.hexdigest()[:HASH_LENGTH]


def folder_id(folder: Path) -> str:
    """Content hash of a folder's files: their names and what is in them; hidden ones do not count. A file is
    read once a process, as long as it stays as it is."""
    files = sorted(item for item in folder.rglob("*") if item.is_file())
    names = [item.relative_to(folder) for item in files]
    shown = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    return digest([[name.as_posix(), *_content(folder / name)] for name in shown])


def _content(file: Path) -> tuple[int, str]:
    """Its size and its hash."""
    found = file.stat()
    return found.st_size, _hash(file, found.st_size, found.st_mtime_ns)


@cache
def _hash(file: Path, size: int, changed: int) -> str:  # noqa: ARG001 - they say which file it was
    return digest_file(file)
