"""Several passes of a network under dropout, cheap enough for a mining round.

A pass is one draw of dropout masks, used for every token of every input (consistent dropout: Kirsch, van
Amersfoort and Gal, BatchBALD, NeurIPS 2019): the pass is then one network of its own, what it says of a text
does not depend on which texts it is read with, and two texts are compared under the same network. Dropout in
the upper layers alone lets all passes share the lower ones, which are computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from serm.relevance_model.layers import layer_stack, with_same_weights
from serm.relevance_model.shards import Reader

Passes = NDArray[np.float32]


class MaskedReader:
    """A reader's network under dropout, `passes` times. The reader's own network stays as it is."""

    def __init__(self, reader: Reader, passes: int, seed: int, layers: int | None = None) -> None:
        """`layers`: how many upper layers have dropout; None: all, and the embeddings."""
        self.reader = replace(reader, network=with_same_weights(reader.network).eval())
        self.passes = passes
        network = self.reader.network
        stack = layer_stack(network)
        kept = 0 if stack is None or layers is None else max(0, len(stack) - layers)
        self._masks = _masks_into(network if stack is None or not kept else stack[kept:], seed)
        self._lower: list[_Remembered] = []
        if stack is not None:
            for row in range(kept):
                self._lower.append(_Remembered(stack[row]))
                stack[row] = self._lower[-1]

    @torch.inference_mode()
    def __call__(self, inputs: Sequence[Any]) -> Passes:
        """(passes, n, width)"""
        reader = self.reader
        result = np.empty((self.passes, len(inputs), reader.width), dtype=np.float32)
        for rows, features in reader.batches(inputs):
            for layer in self._lower:
                layer.forget()
            for number in range(self.passes):
                for mask in self._masks:
                    mask.number = number
                result[number, rows] = reader.values(dict(features), len(rows))
        return result


class _Mask(torch.nn.Module):
    """In the place of a dropout: one mask over the last dimension for each pass."""

    def __init__(self, share: float, seed: tuple[int, ...]) -> None:
        super().__init__()
        self.share, self.seed = share, seed
        self.number = 0
        self._drawn: dict[tuple[int, int], torch.Tensor] = {}

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        key = self.number, states.shape[-1]
        if key not in self._drawn:
            rng = np.random.default_rng([*self.seed, self.number])
            kept = (rng.random(key[1]) >= self.share) / (1.0 - self.share)
            self._drawn[key] = torch.as_tensor(kept, dtype=torch.float32, device=states.device)
        return states * self._drawn[key].to(states.dtype)


class _Remembered(torch.nn.Module):
    """In the place of a lower layer: what it made of a batch is remembered for the batch's further passes.

    Each layer stands where it stood, with the arguments that are its own (a mask, positions) and with what it
    gives besides the states, which other layers may read (T5's relative positions).
    """

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self._made: Any = None

    def forget(self) -> None:
        self._made = None

    def __getattr__(self, name: str) -> Any:
        """What an encoder asks of a layer (ModernBERT: `attention_type`), as that one says it."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)

    def forward(self, states: Any, *arguments: Any, **named: Any) -> Any:
        if self._made is None:
            self._made = self.layer(states, *arguments, **named)
        return self._made


def has_dropout(network: Any) -> bool:
    """Whether passes of a network differ at all: those of ModernBERT and of most decoders are one and the
    same."""
    return any(True for _ in _dropouts(network))


def _masks_into(network: Any, seed: int) -> list[_Mask]:
    """Put masks where dropout is, but for that of attention weights, and list them.

    torch's fused attention on CPUs has no dropout: with it a pass took 2.5 times as long.
    """
    masks: list[_Mask] = []
    for parent, name, share in list(_dropouts(network)):
        masks.append(_Mask(share, (seed, len(masks))))
        setattr(parent, name, masks[-1])
    return masks


def _dropouts(network: Any) -> Iterator[tuple[Any, str, float]]:
    """Each dropout that a mask takes the place of: the module that it is in, its name there, its share."""
    for parent in network.modules():
        if not type(parent).__name__.endswith("SelfAttention"):
            for name, child in parent.named_children():
                if isinstance(child, torch.nn.Dropout) and child.p > 0:
                    yield parent, name, child.p
