"""Dropout, freezing and averaging of transformer weights."""

from __future__ import annotations

import torch

from serm.core.errors import ModelError


def dropout_on(model: torch.nn.Module) -> None:
    """Training mode, but for the dropout of attention weights.

    torch's fused attention on CPUs has no dropout: with it, a forward pass took 2.5 times as long
    (MiniLM, 100 tokens, one core). The dropout of hidden states stays.
    """
    model.train()
    for module in model.modules():
        if type(module).__name__.endswith("SelfAttention"):
            module.eval()


def layer_stack(model: torch.nn.Module) -> torch.nn.ModuleList | None:
    """The layers of a transformer, the lowest first; None where serm does not find them."""
    lists = (module for module in model.modules() if isinstance(module, torch.nn.ModuleList))
    return next((layers for layers in lists if len({type(layer) for layer in layers}) == 1), None)


def freeze(model: torch.nn.Module, layers: int) -> None:
    """Freeze the embeddings and the `layers` lower layers of a transformer; 0 freezes nothing."""
    if layers == 0:
        return
    stack = layer_stack(model)
    embeddings = next((module for name, module in model.named_modules() if name.endswith("embeddings")), None)
    if stack is None or embeddings is None:
        raise ModelError(
            "the base model has no layers that serm knows how to freeze.", "Set `training.freeze_layers: 0`."
        )
    for module in (embeddings, *stack[:layers]):
        module.requires_grad_(False)


@torch.no_grad()
def average_into(model: torch.nn.Module, start: torch.nn.Module, share: float) -> None:
    """Set the model's weights to share x start + (1 - share) x model."""
    if share == 0:
        return
    for mine, theirs in zip(model.parameters(), start.parameters(), strict=True):
        mine.lerp_(theirs.to(mine.device), share)
