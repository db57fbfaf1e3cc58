"""What a network is: the hash of everything that its output depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import torch

from serm.core.hashing import HASH_LENGTH, digest


def weights_id(model: Any, without: Collection[str] = ()) -> str:
    """Content hash of every tensor, the vocabulary and the settings of the modules above the transformer.
    `without`: names of tensors that do not count."""
    state = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name in without:
            continue
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    upper = [
        [type(module).__name__, module.get_config_dict()]
        for module in model.children()
        if hasattr(module, "get_config_dict") and not hasattr(module, "tokenizer")
    ]
    state.update(digest([model.tokenizer.get_vocab(), upper]).encode())
    return state.hexdigest()[:HASH_LENGTH]
