"""The judges of one run: those of its config, or one of them alone, simulated ones with the run's seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serm.core.errors import ConfigError


def judges_of(given: Any, only: int | None, seed: int, arm: str) -> Any:
    """A config's judges, or one of them alone, under a seed. What is no judge stays as it is, and the
    settings say so. Raises ConfigError where there is no such one."""
    listed = [given] if isinstance(given, str) else [] if given is None else given
    if not isinstance(listed, list):
        return listed
    if only is not None and len(listed) < only:
        raise ConfigError(
            f"arm `{arm}` asks judge {only} alone, and the config names {len(listed)}.",
            "Name it under `judges`, or leave the arm out with `--arm`.",
        )
    return [_of_seed(judge, seed) for judge in (listed if only is None else listed[only - 1 : only])]


def _of_seed(judge: Any, seed: int) -> Any:
    values = {"backend": judge} if isinstance(judge, str) else judge
    backend = values.get("backend") if isinstance(values, Mapping) else None
    if not isinstance(backend, str) or not backend.startswith("simulated:"):
        return values
    body, mark, name = backend.partition("#")
    parts = [part for part in body.split(",") if not part.strip().startswith("seed=")]
    return {**values, "backend": f"{','.join(parts)},seed={seed}{mark}{name}"}
