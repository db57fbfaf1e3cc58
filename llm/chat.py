"""Chat models for agents, by the same strings as judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from langchain_core.language_models import BaseChatModel

from serm.core.errors import ConfigError
from serm.core.settings_loop import LlmSettings
from serm.llm.script import check_script
from serm.llm.scripted import ScriptedChatModel
from serm.llm.spec import BackendSpec, check_parts


def check_calls_tools(spec: BackendSpec) -> None:
    """Raises ConfigError for a backend that is no chat model: it cannot decide for an agent."""
    if spec.kind not in _MODELS:
        raise ConfigError(
            f"`{spec.text}` cannot decide for an agent: it calls no tools.",
            f"Use one of the kinds {', '.join(_MODELS)}, or `policy: rules`.",
        )


def chat_model(
    spec: BackendSpec, settings: LlmSettings, *, folder: Path | None = None, key_variable: str = ""
) -> BaseChatModel:
    """A chat model that calls tools; `folder` is where a script's relative path starts, `key_variable` holds
    its key (`agents.api_key_env`).

    It repeats no request to a server by itself: see `turn_retry`.

    Which agent it decides for it is told at each call, in the metadata (`agent`): a scripted model plays that
    agent's turns, others do not care. Raises ConfigError for a backend that is no chat model,
    and where a key is named that it cannot be sent.
    """
    check_calls_tools(spec)
    check_parts(spec, *(["agents.api_key_env"] if key_variable else []))
    return _MODELS[spec.kind](spec, settings, folder or Path(), key_variable)


def _openai(spec: BackendSpec, settings: LlmSettings, _: Path, key_variable: str) -> BaseChatModel:
    from pydantic import SecretStr

    from serm.llm.keys import api_key, key_hint
    from serm.llm.openai_chat import OpenAIChat  # heavy, and not needed under `policy: rules`
    from serm.llm.openai_compatible import basic_login

    # Servers of one's own may not know the limit's newer name, and OpenAI's newer models not the older one.
    options: dict[str, Any] = (
        {"extra_body": {"max_tokens": settings.max_tokens}}
        if spec.target
        else {"max_completion_tokens": settings.max_tokens}
    )
    if login := basic_login(spec):
        from openai import DefaultAsyncHttpxClient, DefaultHttpxClient

        options["http_client"] = DefaultHttpxClient(auth=login)
        options["http_async_client"] = DefaultAsyncHttpxClient(auth=login)
    return OpenAIChat(
        model=spec.model,
        base_url=spec.target or None,
        api_key=SecretStr(api_key(spec, key_variable)),
        label=spec.text,
        key_hint=key_hint(spec, key_variable),
        temperature=settings.temperature,
        timeout=settings.timeout,
        max_retries=0,
        **options,
    )


def _vllm(spec: BackendSpec, settings: LlmSettings, folder: Path, _: str) -> BaseChatModel:
    from serm.llm.vllm_asker import VllmAsker
    from serm.llm.vllm_chat import VllmChatModel
    from serm.llm.weights import located

    return VllmChatModel(converser=VllmAsker(spec.model, settings, location=located(spec.model, folder)))


def _langchain(spec: BackendSpec, settings: LlmSettings, *_: object) -> BaseChatModel:
    from serm.llm.langchain_model import open_model

    return open_model(spec, settings)


def _scripted(spec: BackendSpec, _: LlmSettings, folder: Path, __: str) -> BaseChatModel:
    file = folder / spec.target
    check_script(file)  # a script that cannot be read stops the run now, not in the middle of it
    return ScriptedChatModel(file=file, section=spec.model)


_MODELS: Final[Mapping[str, Callable[[BackendSpec, LlmSettings, Path, str], BaseChatModel]]] = {
    "openai": _openai,
    "http": _openai,
    "vllm": _vllm,
    "langchain": _langchain,
    "scripted": _scripted,
}
