"""Chat models for agents, by the same strings as judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from langchain_core.language_models import BaseChatModel

from serm.core.errors import ConfigError
from serm.core.settings_loop import LlmSettings
from serm.llm.script import read_script
from serm.llm.scripted import ScriptedChatModel
from serm.llm.spec import BackendSpec, parse_backend


def chat_model(
    backend: str, settings: LlmSettings, *, agent: str = "", folder: Path | None = None
) -> BaseChatModel:
    """The chat model that decides for `agent`; `folder` is where a script's relative path starts.

    Raises ConfigError for a string that names no chat model.
    """
    spec = parse_backend(backend)
    if spec.kind not in _MODELS:
        raise ConfigError(
            f"`{backend}` cannot decide for an agent: it calls no tools.",
            f"Use one of the kinds {', '.join(_MODELS)}, or `policy: rules`.",
        )
    return _MODELS[spec.kind](spec, settings, agent, folder or Path())


def _openai(spec: BackendSpec, settings: LlmSettings, _: str, __: Path) -> BaseChatModel:
    from langchain_openai import ChatOpenAI  # heavy, and not needed under `policy: rules`
    from pydantic import SecretStr

    from serm.llm.openai_compatible import api_key

    # The one retry layer is the client's own: 429, 5xx, timeouts and broken connections, never 400 or 401.
    return ChatOpenAI(
        model=spec.model,
        base_url=spec.target or None,
        api_key=SecretStr(api_key(spec)),
        temperature=settings.temperature,
        timeout=settings.timeout,
        max_retries=settings.retries,
    )


def _scripted(spec: BackendSpec, _: LlmSettings, agent: str, folder: Path) -> BaseChatModel:
    file = folder / spec.target
    return ScriptedChatModel(script=read_script(file, spec.model or agent), name_of_script=file.name)


_MODELS: Final[Mapping[str, Callable[[BackendSpec, LlmSettings, str, Path], BaseChatModel]]] = {
    "openai": _openai,
    "http": _openai,
    "scripted": _scripted,
}
