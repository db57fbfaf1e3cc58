"""Starts vLLM's engine in this process (tried with vLLM 0.32)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Final

from serm.core.errors import ConfigError, JudgeError
from serm.llm.vllm_core import VllmCore, hand_back_cached_memory, short

_ENVIRONMENT: Final = {
    "VLLM_NO_USAGE_STATS": "1",  # nobody's data leaves
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_LOGGING_LEVEL": "WARNING",  # at INFO it writes hundreds of lines between ours
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # this process has threads, and a fork of it may hang
}
"""What vLLM reads when it is imported; what is set already stays."""


def start_core(model: str, arguments: Mapping[str, object]) -> VllmCore:
    """Load a model (a folder or a hub's id) on a running event loop; `arguments` are those of vLLM's engine.

    Raises ConfigError for an argument that vLLM does not know, JudgeError where it cannot load the model.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    sleeps = _check(arguments) and bool(arguments.get("enable_sleep_mode", True))
    given = {
        "enable_prefix_caching": True,
        "enable_sleep_mode": sleeps,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        **arguments,
    }
    hand_back_cached_memory()
    # No variable holds the engine here. Errors that vLLM's modules keep from their import keep this frame:
    # with it the engine would live until the interpreter ends, where its finaliser fails.
    return VllmCore(_engine(model, given), sleeps=sleeps)


def _check(arguments: Mapping[str, object]) -> bool:
    """Whether vLLM can sleep on this device. Raises ConfigError for an argument that it does not know."""
    from vllm import AsyncEngineArgs
    from vllm.platforms import current_platform

    known = {field.name for field in dataclasses.fields(AsyncEngineArgs)} - {"model"}
    unknown = sorted(set(arguments) - known)
    if unknown:
        raise ConfigError(
            f"`llm.vllm.{unknown[0]}` is no engine argument of vLLM.",
            "They are those of `vllm serve`, with _ for -: `max_model_len`, `gpu_memory_utilization`, ...",
        )
    return bool(current_platform.is_sleep_mode_available())


def _engine(model: str, given: Mapping[str, Any]) -> Any:
    from vllm import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    try:
        return AsyncLLM.from_engine_args(AsyncEngineArgs(model=model, **given))
    except Exception as error:  # its own, torch's, the hub's, the operating system's
        raise JudgeError(
            f"vLLM cannot load `{model}`: {short(error)}",
            "Check the model's name and `llm.vllm`; VLLM_LOGGING_LEVEL=INFO shows more.",
        ) from error
