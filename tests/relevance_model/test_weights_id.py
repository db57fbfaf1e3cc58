"""A network's hash: of every tensor whatever its shape, and the same in every version of serm."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from serm.relevance_model.identity import weights_id

TENSORS = {
    "a.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "a.bias": torch.tensor([-0.0, 0.5]),
    "half": torch.arange(4, dtype=torch.float16).reshape(2, 2),
    "transposed": torch.arange(6).reshape(2, 3).T,
    "none": torch.zeros(0, 3),
    "flags": torch.tensor([True, False]),
}


def id_of(**more: torch.Tensor) -> str:
    network: Any = SimpleNamespace(
        state_dict=lambda: {**TENSORS, **more},
        children=lambda: [],
        tokenizer=SimpleNamespace(get_vocab=lambda: {"a": 0, "b": 1}),
    )
    return weights_id(network)


def test_ids_of_models_that_are_in_workspaces_stay_as_they_are() -> None:
    assert id_of() == "3d59745e7d18165e"


def test_a_number_without_dimensions_counts() -> None:
    ids = {id_of(), id_of(scale=torch.tensor(2.6)), id_of(scale=torch.tensor(2.7))}
    assert len(ids) == 3
    assert id_of(scale=torch.tensor(2.6)) != id_of(scale=torch.tensor([2.6]))
