"""What training minimises. Torch only; shapes in each docstring."""

from __future__ import annotations

import torch

from serm.core.records import GRADES


def cross_entropy(log_probabilities: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over n rows of -sum_y target_y log P(y); both (n, 4). Scalar."""
    return -(targets * log_probabilities).sum(dim=1).mean()


def listwise(scores: torch.Tensor, targets: torch.Tensor, lists: torch.Tensor, count: int) -> torch.Tensor:
    """ListNet's top-one cross-entropy (Cao et al. 2007) within each list, over expected grades.

    scores (n,), targets (n, 4), lists (n,) with values in 0..count-1. The target of a row is the softmax of
    the grades that its targets expect, the prediction the softmax of its score. Less the target's own
    entropy (a constant), so 0 is perfect. A list whose targets are all equal orders nothing and weighs 0.
    Scalar: the mean over the other lists.
    """
    expected = targets @ torch.tensor(GRADES, dtype=targets.dtype, device=targets.device)
    wanted = log_softmax_within(expected, lists, count)
    found = log_softmax_within(scores, lists, count)
    divergence = scores.new_zeros(count).index_add(0, lists, wanted.exp() * (wanted - found))
    highest = _reduce(expected, lists, count, "amax")
    lowest = _reduce(expected, lists, count, "amin")
    spread = (highest - lowest > 1e-6).to(scores.dtype)
    return (divergence * spread).sum() / spread.sum().clamp(min=1.0)


def log_softmax_within(values: torch.Tensor, lists: torch.Tensor, count: int) -> torch.Tensor:
    """log softmax of (n,) values within each list. (n,)"""
    shifted = values - _reduce(values.detach(), lists, count, "amax")[lists]
    total = values.new_zeros(count).index_add(0, lists, shifted.exp())
    return shifted - total.log()[lists]


def _reduce(values: torch.Tensor, lists: torch.Tensor, count: int, how: str) -> torch.Tensor:
    return values.new_zeros(count).scatter_reduce(0, lists, values, how, include_self=False)
