"""The kernels of training against torch's own: the same function, other roundings."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import torch
from torch.nn import functional

from serm.core.settings_loop import ModelSettings, TrainingSettings
from serm.relevance_model import kernels
from serm.relevance_model.compute import Compute
from serm.relevance_model.kernels import attention, dropout, training_kernels
from serm.relevance_model.loading import open_base
from serm.relevance_model.train import train


def _heads(dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(4, 2, 9, 8, generator=generator).to(dtype).requires_grad_() for _ in ("q", "k", "v")]


def _gradients(heads: list[torch.Tensor], output: torch.Tensor) -> list[torch.Tensor]:
    weights = torch.linspace(-1, 1, output.numel()).view(output.shape)
    return list(torch.autograd.grad((output.float() * weights).sum(), heads))


@pytest.mark.parametrize("boolean", [True, False])
def test_attention_in_bfloat16_is_nearer_to_float32_than_torchs_is(boolean: bool) -> None:
    keep = torch.ones(4, 1, 9, 9, dtype=torch.bool)
    keep[..., 6:] = False
    mask = keep if boolean else torch.zeros(4, 1, 9, 9, dtype=torch.bfloat16).masked_fill(~keep, -1e9)
    exact_mask = mask if boolean else mask.float()
    heads = _heads(torch.bfloat16)
    exact = [head.detach().float().requires_grad_() for head in heads]
    ours = attention(*heads, attn_mask=mask)
    assert ours.dtype == torch.bfloat16
    wanted = functional.scaled_dot_product_attention(*exact, attn_mask=exact_mask)
    torch.testing.assert_close(ours.float(), wanted, atol=0.02, rtol=0.02)
    found, right = _gradients(heads, ours), _gradients(exact, wanted)
    plain = _gradients(heads, functional.scaled_dot_product_attention(*heads, attn_mask=mask))
    for mine, true, theirs in zip(found, right, plain, strict=True):
        torch.testing.assert_close(mine.float(), true, atol=0.05, rtol=0.02)
        assert (mine - true).abs().mean() <= (theirs - true).abs().mean()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.001])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_its_share_and_keeps_the_mean(share: float, dtype: torch.dtype) -> None:
    torch.manual_seed(5)
    states = torch.ones(401, 2501, dtype=dtype, requires_grad=True)  # no multiple of what a draw holds
    noisy = dropout(states, share)
    dropped = (noisy == 0).float().mean().item()
    assert dropped == pytest.approx(share, abs=5 * (share / states.numel()) ** 0.5)
    assert noisy.max().item() == pytest.approx(1 / (1 - share), rel=0.005)
    (gradient,) = torch.autograd.grad(noisy.sum(), states)
    assert torch.equal(gradient, noisy.detach())  # of ones: what went forward comes back


def test_dropout_of_neighbours_is_not_alike() -> None:
    """A draw decides on four elements: what it says of one must not tell of the next."""
    torch.manual_seed(6)
    dropped = (dropout(torch.ones(400_000), 0.5) == 0).view(-1, 4).float()
    together = torch.corrcoef(dropped.T).fill_diagonal_(0)
    assert together.abs().max() < 0.02


def test_dropout_follows_torchs_seed_and_is_off_outside_training() -> None:
    states = torch.ones(7, 5)
    torch.manual_seed(1)
    first = dropout(states, 0.5)
    torch.manual_seed(1)
    assert torch.equal(first, dropout(states, 0.5))
    assert not torch.equal(first, dropout(states, 0.5))
    assert torch.equal(dropout(states, 0.5, training=False), states)
    assert torch.equal(dropout(states, 0.0), states)
    assert torch.equal(dropout(states, 1.0), torch.zeros(7, 5))


def test_modules_get_these_kernels_on_a_cpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def told(states: torch.Tensor, p: float, training: bool, inplace: bool) -> torch.Tensor:
        asked.append(p)
        return states

    monkeypatch.setitem(kernels._INSTEAD, functional.dropout, told)
    layer = torch.nn.Dropout(0.25).train()
    layer(torch.ones(3))
    with training_kernels(Compute("cuda:0", "bfloat16")):
        layer(torch.ones(3))
    assert asked == []
    with training_kernels(Compute("cpu", "float32")):
        layer(torch.ones(3))
    assert asked == [0.25]


def test_a_training_on_a_cpu_is_made_of_them(
    tiny: ModelSettings, quick: TrainingSettings, toy: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()

    def told(name: str, how: Any) -> Any:
        return lambda *args, **kwargs: (asked.add(name), how(*args, **kwargs))[1]

    monkeypatch.setitem(
        kernels._INSTEAD, functional.scaled_dot_product_attention, told("attention", attention)
    )
    monkeypatch.setitem(kernels._INSTEAD, functional.dropout, told("dropout", dropout))
    train(open_base(tiny, None), toy, quick.model_copy(update={"epochs": 1}), seed=1)
    assert asked == {"attention", "dropout"}
