"""The training loop that both kinds share: AdamW, warm-up and linear decay, accumulation, bf16."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState

from serm.core.errors import ModelError
from serm.core.settings_loop import TrainingSettings
from serm.relevance_model.compute import Compute, within_memory
from serm.relevance_model.encoder import seeded
from serm.relevance_model.kernels import training_kernels
from serm.relevance_model.layers import dropout_on

Progress = Callable[[int, int], None]
"""Called after each step with the number of steps done and their total."""

WEIGHT_DECAY = 0.01  # chosen; of matrices alone
CLIP = 1.0  # norm of the gradient, chosen
_LESS = (
    "Halve `training.queries_per_batch` and double `training.gradient_accumulation`, or raise "
    "`training.freeze_layers`."
)


def finetune(
    module: torch.nn.Module,
    batches: Sequence[Any],
    training: TrainingSettings,
    compute: Compute,
    *,
    seed: int,
    rates: dict[str, float],
    progress: Progress | None = None,
) -> None:
    """Train `module` in place: `module(batch)` is the loss of one batch, and `batches` those of all epochs.

    rates: prefix of parameter names -> learning rate, where it is not `training.learning_rate`.
    Raises ModelError where training diverges, and where the device has no memory for it.
    """
    steps = [
        batches[start : start + training.gradient_accumulation]
        for start in range(0, len(batches), training.gradient_accumulation)
    ]
    accelerator = _accelerator(compute)
    try:
        with seeded(seed, compute), within_memory(_LESS):
            dropout_on(module.to(compute.device))
            # In one kernel on CPUs, too, where torch's default goes over the parameters one by one.
            optimizer = torch.optim.AdamW(_groups(module, training, rates), fused=True)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _shape(len(steps), training.warmup))
            wrapped, optimizer = accelerator.prepare(module, optimizer)
            for number, step in enumerate(steps, start=1):
                for batch in step:
                    with training_kernels(compute):
                        loss = wrapped(batch) / len(step)
                    _require_finite(loss, "the loss is")
                    accelerator.backward(loss)
                _require_finite(accelerator.clip_grad_norm_(wrapped.parameters(), CLIP), "a gradient is")
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                if progress is not None:
                    progress(number, len(steps))
            for parameter in module.parameters():  # no loss was computed after the last step
                _require_finite(parameter, "a weight is")
    finally:
        accelerator.unwrap_model(module, keep_fp32_wrapper=False)
        module.eval()
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()


def _require_finite(values: torch.Tensor | None, what: str) -> None:
    if values is not None and not torch.isfinite(values).all():
        raise ModelError(f"training diverged: {what} no number.", "Lower `training.learning_rate`.")


def _accelerator(compute: Compute) -> Accelerator:
    """One process, one device that is ours to choose. Accelerate keeps its choice for good: start afresh."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    return Accelerator(
        cpu=compute.kind == "cpu",
        mixed_precision="bf16" if compute.precision == "bfloat16" else "no",
        device_placement=False,
    )


def _groups(
    module: torch.nn.Module, training: TrainingSettings, rates: dict[str, float]
) -> list[dict[str, Any]]:
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        special = next((rate for prefix, rate in rates.items() if name.startswith(prefix)), None)
        rate = training.learning_rate if special is None else special
        decay = WEIGHT_DECAY if parameter.ndim > 1 and special is None else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def _shape(steps: int, warmup: float) -> Callable[[int], float]:
    """Rate over the steps, relative to its peak: up linearly, then down linearly to 0."""
    rising = max(1, round(warmup * steps))

    def at(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return max(0.0, (steps - step) / max(1, steps - rising))

    return at
