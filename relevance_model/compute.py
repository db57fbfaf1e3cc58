"""Where and how precisely a model computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from serm.core.errors import ModelError
from serm.core.settings_loop import ModelSettings

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Compute:
    """A device and a precision that this machine has."""

    device: str
    precision: Precision

    @property
    def kind(self) -> str:
        return self.device.split(":")[0]

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Matrix products in bfloat16 where that is the precision; weights stay in float32."""
        with torch.autocast(self.kind, dtype=torch.bfloat16, enabled=self.precision == "bfloat16"):
            yield


@contextmanager
def within_memory(remedy: str) -> Iterator[None]:
    """ModelError with `remedy` where a card, or the machine, has no memory for what is computed here."""
    try:
        yield
    except RuntimeError as error:
        from accelerate.utils.memory import should_reduce_batch_size  # knows what each backend says

        if not should_reduce_batch_size(error):
            raise
        said = str(error).splitlines()[0].rstrip(".")
        raise ModelError(f"the device ran out of memory: {said}.", remedy) from error


def resolve_compute(settings: ModelSettings) -> Compute:
    """Turn `auto` into what this machine has; ModelError where the config asks for a device that it lacks."""
    device = _automatic_device() if settings.device == "auto" else settings.device
    _check(device)
    precision: Precision = (
        settings.precision if settings.precision != "auto" else _automatic_precision(device)
    )
    return Compute(device, precision)


def _automatic_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _check(device: str) -> None:
    kind = device.split(":", maxsplit=1)[0]
    available: dict[str, Callable[[], bool]] = {
        "cpu": lambda: True,
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if kind not in available:
        raise ModelError(
            f"`model.device: {device}` is no device.", f"Use auto, {', '.join(available)}, or cuda:1."
        )
    if not available[kind]():
        raise ModelError(
            f"`model.device: {device}` asks for a device that torch does not see.",
            "Set `model.device: auto`, or install a build of torch for your card.",
        )
    if kind == "cuda" and ":" in device and int(device.split(":")[1]) >= torch.cuda.device_count():
        raise ModelError(f"`model.device: {device}`: there are {torch.cuda.device_count()} cards.")


def _automatic_precision(device: str) -> Precision:
    """bfloat16 where the hardware multiplies it natively; elsewhere it would only be slower."""
    kind = device.split(":", maxsplit=1)[0]
    if kind == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if kind == "cpu":
        # torch tells of these two only through underscored names; absent in a build, they count as no.
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        probes = (getattr(torch.cpu, name, None) for name in names)
        return "bfloat16" if any(probe() for probe in probes if probe is not None) else "float32"
    return "float32"
