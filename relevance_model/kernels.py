"""What torch's kernels for CPUs do slowly in training, done another way.

The backward pass of fused attention is slow in bfloat16, and so is the drawing of dropout's masks. What each
takes, there and here, and what a whole step gains: `python -m serm.benchmarks.training_speed`, whose figures
are in docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from serm.relevance_model.compute import Compute

_LEVELS: Final = 2**16  # of a random number that decides on one dropout
_PER_DRAW: Final = 4  # such numbers in one random int64


def training_kernels(compute: Compute) -> AbstractContextManager[Any]:
    """Within it, forward passes on a CPU are made of kernels that train faster. Elsewhere nothing changes."""
    return _Kernels() if compute.kind == "cpu" else nullcontext()


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    *rest: Any,
    **named: Any,
) -> torch.Tensor:
    """`scaled_dot_product_attention` in float32, in the dtype of the values again at the end."""
    if attn_mask is not None and attn_mask.is_floating_point():
        attn_mask = attn_mask.float()
    with torch.autocast("cpu", enabled=False):
        heads = functional.scaled_dot_product_attention(
            query.float(), key.float(), value.float(), attn_mask, *rest, **named
        )
    return heads.to(value.dtype)


def dropout(
    input: torch.Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,  # noqa: ARG001
) -> torch.Tensor:
    """`dropout` by 16 random bits an element, drawn 64 at a time: p is exact to 1 in 65,536. What is left
    is divided by the share that stays, as torch does. `inplace`, which torch's modules pass, is not
    heeded."""
    dropped = round(p * _LEVELS)
    if not training or dropped == 0:
        return input
    if dropped >= _LEVELS:
        return input * 0
    draws = torch.empty(-(-input.numel() // _PER_DRAW), dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[: input.numel()].view(input.shape)
    # int16 holds what is drawn from -32,768 on.
    return input * (bits >= dropped - _LEVELS // 2) * (_LEVELS / (_LEVELS - dropped))


class _Kernels(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _INSTEAD.get(func, func)(*args, **(kwargs or {}))


_INSTEAD: Final[dict[Callable[..., Any], Callable[..., Any]]] = {
    functional.scaled_dot_product_attention: attention,
    functional.dropout: dropout,
}
