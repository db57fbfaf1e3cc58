"""Surgery on transformers: their layers found, frozen, lifted out and put back, averaged; dropout."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

import torch

from serm.core.errors import ModelError
from serm.relevance_model.dependence import feeding


def dropout_on(model: torch.nn.Module) -> None:
    """Training mode, but for the dropout of attention weights.

    torch's fused attention on CPUs has no dropout: with it, a forward pass took 2.5 times as long
    (MiniLM, 100 tokens, one core). The dropout of hidden states stays.
    """
    model.train()
    for module in model.modules():
        if type(module).__name__.endswith("SelfAttention"):
            module.eval()


def with_same_weights(network: Any) -> Any:
    """A copy of a network's modules, to be taken apart, over the same weights, which nobody may change there:
    of a model with a large vocabulary they are most of what it takes in memory."""
    return copy.deepcopy(network, {id(item): item for item in (*network.parameters(), *network.buffers())})


def layer_stack(model: torch.nn.Module) -> torch.nn.ModuleList | None:
    """The layers of a transformer, the lowest first; None where serm does not find them."""
    lists = (module for module in model.modules() if isinstance(module, torch.nn.ModuleList))
    return next((layers for layers in lists if len({type(layer) for layer in layers} - _PUT_IN) == 1), None)


def freeze(model: torch.nn.Module, layers: int) -> None:
    """Freeze the embeddings, the `layers` lower layers of a transformer and whatever else these depend on,
    such as relative positions that all layers read (MPNet, DeBERTa); 0 freezes nothing."""
    if layers == 0:
        return
    stack = layer_stack(model)
    if stack is None:
        raise ModelError(
            "the base model has no layers that serm knows how to freeze.",
            "Set `training.freeze_layers: 0`, or `model.base` to a transformer.",
        )
    lowest = stack[:layers]
    below = feeding(model, lowest[-1])
    embeddings = [module for name, module in model.named_modules() if name.endswith("embeddings")][:1]
    for module in (*embeddings, *lowest):
        module.requires_grad_(False)
    for name in below:
        model.get_parameter(name).requires_grad_(False)


@torch.no_grad()
def average_into(model: torch.nn.Module, start: torch.nn.Module, share: float) -> None:
    """Set the model's weights to share x start + (1 - share) x model.

    Weights that are equal stay as they are, to the bit: their average would turn -0.0 into 0.0, and frozen
    layers would no longer be known as the ones that all models share.
    """
    if share == 0:
        return
    for mine, theirs in zip(model.parameters(), start.parameters(), strict=True):
        there = theirs.to(mine.device)
        if not torch.equal(mine, there):
            mine.lerp_(there, share)


class Through(torch.nn.Module):
    """In the place of a lower layer above a Replay: gives on what it is given. So every layer that is left
    has the number that it had, by which a network may choose its mask or positions (Gemma 3, ModernBERT)."""

    def __init__(self, told: dict[str, Any], *, outputs: int) -> None:
        """told: what an encoder may ask of a layer (ModernBERT: `attention_type`). outputs: how many things
        a layer gives, the states first; 0: the states alone, in no tuple."""
        super().__init__()
        self._outputs = outputs
        for name, value in told.items():
            setattr(self, name, value)

    def forward(self, states: torch.Tensor, *_: Any, **__: Any) -> Any:
        return (states, *[None] * (self._outputs - 1)) if self._outputs else states


class Replay(Through):
    """In the place of the lowest layer: gives out states that were computed before."""

    def __init__(self, told: dict[str, Any], *, outputs: int) -> None:
        super().__init__(told, outputs=outputs)
        self.states: torch.Tensor | None = None

    def forward(self, states: torch.Tensor, *_: Any, **__: Any) -> Any:
        if self.states is None:
            raise RuntimeError("the states of this batch were not set")
        return super().forward(self.states.to(states.device))


_PUT_IN: Final = frozenset({Replay, Through})


def lift(network: Any, layers: int, *, outputs: int) -> list[torch.nn.Module]:
    """Put a Replay, and Throughs above it, in the place of the lowest layers, in place; what was there."""
    stack = layer_stack(network)
    assert stack is not None
    removed = [stack[row] for row in range(layers)]
    for row, layer in enumerate(removed):
        stack[row] = (Through if row else Replay)(_told(layer), outputs=outputs)
    return removed


def _told(layer: torch.nn.Module) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(layer).items()
        if isinstance(value, str | int | float | bool) and not name.startswith("_") and name != "training"
    }


def put_back(network: Any, removed: Sequence[torch.nn.Module]) -> None:
    """Undo `lift`."""
    stack = layer_stack(network)
    assert stack is not None
    for row, layer in enumerate(removed):
        stack[row] = layer


def replay_of(network: Any) -> Replay:
    """The Replay of a network that `lift` has changed."""
    return next(module for module in network.modules() if isinstance(module, Replay))
