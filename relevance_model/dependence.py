"""Which parameters of a network the output of one of its modules depends on: read off the graph of torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from serm.relevance_model.tokens import token_batches

_TEXT = "a"


def feeding(network: Any, module: torch.nn.Module, output: str = "") -> set[str]:
    """Names of the network's parameters that the output of one of its modules for a text depends on.

    `network`: a SentenceTransformer or CrossEncoder. `output`: which of the outputs, where they have names.
    """
    caught: list[Any] = []
    handle = module.register_forward_hook(lambda _, __, found: caught.append(found))
    device = str(next(network.parameters()).device)
    (_, features) = next(token_batches(network, [_TEXT], 1, device, fewest=1))
    try:
        with torch.enable_grad():
            network(features)
    finally:
        handle.remove()
    found = caught[-1][output] if output else caught[-1]
    leaves = {id(leaf) for tensor in _tensors(found) for leaf in _leaves(tensor)}
    return {name for name, parameter in network.named_parameters() if id(parameter) in leaves}


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Those of a layer's output: a tensor, or a tuple of them."""
    items = value if isinstance(value, tuple | list) else [value]
    return (item for item in items if isinstance(item, torch.Tensor))


def _leaves(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The parameters at the ends of its graph."""
    seen: set[Any] = set()
    ahead: list[Any] = [tensor.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        ahead += [before for before, _ in node.next_functions]
