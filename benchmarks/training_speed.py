"""A step of fine-tuning beside a plain loop of torch: `python -m serm.benchmarks.training_speed`.

The same batches, loss and network are trained twice, one after the other, round by round: by serm's
`finetune`, and by a plain loop with torch's own kernels, autocast and `AdamW` as it comes. Seconds are the
processor's, on one thread; what frozen layers make of a text is kept, for both; the ratio is the median of
the rounds' own, with the lowest and the highest. The pairs are the simulated marketplace's seed. Nothing is
measured of what was learned, but that both losses come down alike is told: the mean of the last tenth of
the steps (ours warms its rate up and lets it fall, the plain loop's is constant).

Then what differs, one by one, in milliseconds of the processor: attention and dropout forwards and backwards
on made-up states as MiniLM has them, and a step of AdamW over the weights of one of its layers.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any, Final

import numpy as np
import torch
from torch.nn import functional

from serm.benchmarks.marketplace.generate import generate
from serm.benchmarks.marketplace.settings import MarketplaceSettings
from serm.core.settings_loop import ModelSettings, TrainingSettings
from serm.evals.tables import Cells, markdown
from serm.relevance_model.batches import plan
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.encoder import seeded
from serm.relevance_model.examples import Examples, examples
from serm.relevance_model.finetune import finetune
from serm.relevance_model.kernels import attention, dropout
from serm.relevance_model.layers import dropout_on, layer_stack
from serm.relevance_model.loading import open_base
from serm.relevance_model.lower import SharedLayers
from serm.relevance_model.train_biencoder import PairLoss, trainable

FROZEN: Final = (0, 3, 5)  # of MiniLM's six layers
_ROOM: Final = 2**30  # bytes for the frozen layers' states
SEED: Final = 1
TEXTS, TOKENS, HEADS, WIDTH = 45, 45, 12, 384  # of a batch, and of MiniLM


@dataclass(frozen=True, slots=True)
class Reading:
    """Processor seconds of all steps, and the loss of the last tenth of them."""

    seconds: float
    loss: float


Loop = Callable[[torch.nn.Module, Sequence[Any], TrainingSettings, BiEncoder], None]


def ours(
    module: torch.nn.Module, batches: Sequence[Any], training: TrainingSettings, model: BiEncoder
) -> None:
    finetune(module, batches, training, model.encoder.compute, seed=SEED, rates={})


def plain(
    module: torch.nn.Module, batches: Sequence[Any], training: TrainingSettings, model: BiEncoder
) -> None:
    """The loop that one writes by the book. The attention weights' dropout is off, as in ours: with it torch
    has no fused attention, and the loop would be slower still."""
    with seeded(SEED, model.encoder.compute):
        dropout_on(module)
        wanted = [parameter for parameter in module.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(wanted, lr=training.learning_rate)
        for batch in batches:
            with model.encoder.compute.autocast():
                loss = module(batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(wanted, 1.0)
            optimizer.step()
            optimizer.zero_grad()


LOOPS: Final[dict[str, Loop]] = {"plain": plain, "ours": ours}


class _Told(torch.nn.Module):
    """A loss that remembers what it was."""

    def __init__(self, inner: PairLoss) -> None:
        super().__init__()
        self.inner = inner
        self.losses: list[float] = []

    def forward(self, batch: Any) -> torch.Tensor:
        loss: torch.Tensor = self.inner(batch)
        self.losses.append(float(loss.detach()))
        return loss


def read(loop: Loop, model: BiEncoder, data: Examples, frozen: int) -> Reading:
    """One training by a loop, from the same start on."""
    training = TrainingSettings(freeze_layers=frozen, learning_rate=2e-5)
    loss, _ = trainable(model, data, training)
    module = _Told(loss)
    batches = plan(data, training, 1, np.random.default_rng(SEED))
    began = process_time()
    loop(module, batches, training, model)
    seconds = process_time() - began
    return Reading(seconds, statistics.fmean(module.losses[-max(1, len(module.losses) // 10) :]))


def row(settings: ModelSettings, frozen: int, queries: int, rounds: int) -> dict[str, str]:
    """The table's row: both loops, a round each in turn. The first round warms up and does not count."""
    pairs = generate(MarketplaceSettings(seed_queries=queries))
    data = examples(pairs[pairs["split"] == "seed"], soft=False)
    with tempfile.TemporaryDirectory() as folder:
        shared = SharedLayers(frozen, Path(folder), _ROOM) if frozen else None
        model = open_base(settings, None, shared)
        assert isinstance(model, BiEncoder)
        readings = [
            {name: read(loop, model, data, frozen) for name, loop in LOOPS.items()} for _ in range(rounds + 1)
        ][1:]
    ratios = sorted(each["plain"].seconds / each["ours"].seconds for each in readings)
    middle = {name: statistics.median(each[name].seconds for each in readings) for name in LOOPS}
    stack = layer_stack(model.encoder.model)
    assert stack is not None
    return {
        "layers trained": f"{len(stack) - frozen} of {len(stack)}",
        "pairs": f"{len(data):,}",
        **{f"{name}, s": f"{middle[name]:.1f}" for name in LOOPS},
        **{f"{name}, loss": f"{readings[-1][name].loss:.3f}" for name in LOOPS},
        "plain over ours": f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
    }


def parts(rounds: int) -> Cells:
    """What differs, one by one: the least of `rounds` readings each, after one to warm up."""
    heads = [_made_up(TEXTS, HEADS, TOKENS, WIDTH // HEADS) for _ in ("query", "key", "value")]
    states = [_made_up(TEXTS, TOKENS, WIDTH)]
    weights = [_made_up(WIDTH, WIDTH, dtype=torch.float32) for _ in range(12)]  # as many numbers as a layer's
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    both = {
        "attention": [
            _passes(how, heads, rounds) for how in (functional.scaled_dot_product_attention, attention)
        ],
        "dropout": [
            _passes(lambda item, how=how: how(item, 0.1, True), states, rounds)
            for how in (functional.dropout, dropout)
        ],
        "AdamW": [_optimizer(torch.optim.AdamW(weights, fused=fused), rounds) for fused in (False, True)],
    }
    rows = [
        (
            f"{name}, {when}".removesuffix(", "),
            f"{1e3 * plain:.1f}",
            f"{1e3 * mine:.1f}",
            f"{plain / mine:.1f}",
        )
        for name, (theirs, own) in both.items()
        for when, plain, mine in zip(theirs, theirs.values(), own.values(), strict=True)
    ]
    return Cells(("part", "torch, ms", "ours, ms", "torch over ours"), tuple(rows), frozenset({"part"}))


def _made_up(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(SEED)
    return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()


def _passes(how: Callable[..., torch.Tensor], inputs: list[torch.Tensor], rounds: int) -> dict[str, float]:
    """Seconds of the forward and of the backward pass."""
    readings = []
    for _ in range(rounds + 1):
        began = process_time()
        made = how(*inputs)
        between = process_time()
        torch.autograd.grad(made.sum(), inputs)
        readings.append((between - began, process_time() - between))
    forward, backward = (min(side) for side in zip(*readings[1:], strict=True))
    return {"forward": forward, "backward": backward}


def _optimizer(optimizer: torch.optim.Optimizer, rounds: int) -> dict[str, float]:
    readings = []
    for _ in range(rounds + 1):
        began = process_time()
        optimizer.step()
        readings.append(process_time() - began)
    return {"": min(readings[1:])}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=20, help="of the marketplace's seed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frozen", type=int, nargs="*", default=list(FROZEN), help="layers, of six")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = [row(ModelSettings(device="cpu"), frozen, given.queries, given.rounds) for frozen in given.frozen]
    print(
        markdown(
            Cells(tuple(rows[0]), tuple(tuple(each.values()) for each in rows), frozenset({"layers trained"}))
        )
    )
    print(markdown(parts(given.rounds)))


if __name__ == "__main__":
    main()
