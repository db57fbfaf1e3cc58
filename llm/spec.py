"""One string names a backend: `openai:gpt-4o`, `http://host:8000/v1#model`, `replay:FILE#judge`, ..."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from serm.core.discretion import login_of, without_login
from serm.core.errors import ConfigError
from serm.llm.providers import PROVIDERS

OF_A_FILE: Final = frozenset({"replay", "scripted"})
"""Kinds that say what is written in a file, their `target`."""


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """A backend string, taken apart."""

    text: str  # without a login: it names the backend in traces, plans and errors
    kind: str  # openai, http, vllm, langchain, replay, simulated, scripted or model
    target: str = ""  # the URL, the file or LangChain's provider
    model: str = ""  # the model, or the judge in a file
    params: Mapping[str, float] = field(default_factory=dict)
    login: str = field(default="", repr=False)  # `user:password` of the URL, for the client alone

    @property
    def name(self) -> str:
        """What a judge is called that is given no name: its model, or the judge in a file. Where there is
        neither, the file or the kind, to which the panel adds the judge's place."""
        return self.model or self.target or self.kind

    @property
    def batched(self) -> bool:
        """Whether it batches by itself what is asked at the same time: then a whole shard is handed over."""
        return self.kind == "vllm"

    @property
    def ours(self) -> bool:
        """Whether serm writes its requests itself, in OpenAI's form: a key or parts of one's own can be in
        them."""
        return self.kind in ("openai", "http")


def parse_backend(text: str) -> BackendSpec:
    """Take a backend string apart; ConfigError where it is none, with the kinds that there are."""
    shown = without_login(text.strip())
    kind, colon, rest = shown.partition(":")
    if not colon or kind not in _PARSERS:
        raise ConfigError(
            f"`{shown}` names no LLM backend.",
            "Write one of: " + ", ".join(f"`{example}`" for example in EXAMPLES) + ".",
        )
    return replace(_PARSERS[kind](shown, rest), login=login_of(text))


def check_parts(spec: BackendSpec, *keys: str) -> None:
    """Raises ConfigError where `keys`, the config's for parts of a request, are of no use to a backend."""
    if spec.ours or not keys:
        return
    own = "The provider's package reads its key from a variable of its own, such as ANTHROPIC_API_KEY. "
    reads = spec.kind == "langchain" and any(key.endswith("api_key_env") for key in keys)
    raise ConfigError(
        f"`{keys[0]}` is for models of `openai:` and for servers by URL, and `{spec.text}` is neither.",
        f"{own if reads else ''}Leave it out, or name a server: `http://localhost:8000/v1#MODEL`.",
    )


EXAMPLES: Final = (
    "openai:gpt-4o",
    "http://localhost:8000/v1#model",
    "vllm:Qwen/Qwen3-8B",
    "anthropic:claude-sonnet-4-5",
    "replay:judgments.parquet#judge",
    "simulated:accuracy=0.85,shared=0.5,seed=7",
    "scripted:turns.yaml",
)
IN_USE: Final = "champion"
SIMULATED_DEFAULTS: Final[Mapping[str, float]] = {
    "accuracy": 0.85,
    "shared": 0.5,
    "seed": 7,
    "path": 0,
}


def _openai(text: str, rest: str) -> BackendSpec:
    if not rest.strip():
        raise ConfigError(f"`{text}` names no model.", "Write for instance `openai:gpt-4o`.")
    return BackendSpec(text, "openai", model=rest.strip())


def _http(text: str, _: str) -> BackendSpec:
    url, _, model = text.partition("#")
    if not model or not url.partition("://")[2]:
        raise ConfigError(
            f"`{text}` does not name a server and its model.",
            "Write the URL, a `#` and the model's name: `http://localhost:8000/v1#Qwen/Qwen3-8B`.",
        )
    if not _reachable(url):
        what = "a server's URL with a login" if "@" in text else f"`{text}`"  # the login may have broken it
        raise ConfigError(
            f"{what} has no host and port that can be read.",
            "Write it as `http://host:8000/v1`; in a password write `/` as %2F, `#` as %23 and `@` as %40.",
        )
    return BackendSpec(text, "http", target=url.rstrip("/"), model=model)


def _reachable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _vllm(text: str, rest: str) -> BackendSpec:
    if not rest.strip():
        raise ConfigError(f"`{text}` names no model.", "Write a hub's id or a folder: `vllm:Qwen/Qwen3-8B`.")
    return BackendSpec(text, "vllm", model=rest.strip())


def _provider(text: str, rest: str) -> BackendSpec:
    provider = text.partition(":")[0]
    if not rest.strip():
        raise ConfigError(f"`{text}` names no model.", f"Write the model's name behind `{provider}:`.")
    return BackendSpec(text, "langchain", target=provider, model=rest.strip())


def _langchain(text: str, rest: str) -> BackendSpec:
    provider, _, model = rest.partition(":")
    if not provider.strip() or not model.strip():
        raise ConfigError(
            f"`{text}` does not name a provider and its model.",
            "Write for instance `langchain:anthropic:claude-sonnet-4-5`.",
        )
    return BackendSpec(text, "langchain", target=provider.strip(), model=model.strip())


def _replay(text: str, rest: str) -> BackendSpec:
    file, _, judge = rest.rpartition("#")
    if not file or not judge:
        raise ConfigError(
            f"`{text}` does not name a file and a judge in it.",
            "Write for instance `replay:judgments.parquet#gpt-4o`.",
        )
    return BackendSpec(text, "replay", target=file, model=judge)


def _simulated(text: str, rest: str) -> BackendSpec:
    body, _, name = rest.partition("#")
    params = dict(SIMULATED_DEFAULTS)
    for part in filter(None, (part.strip() for part in body.split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in params or not equals:
            raise ConfigError(
                f"`{text}`: `{part}` says nothing of a simulated judge.",
                "It takes " + ", ".join(f"{key}=NUMBER" for key in params) + ".",
            )
        try:
            params[key] = float(value)
        except ValueError:
            raise ConfigError(f"`{text}`: {key} is `{value}`, and that is no number.") from None
    for key in ("accuracy", "shared", "path"):
        if not 0 <= params[key] <= 1:
            raise ConfigError(f"`{text}`: {key} is {params[key]:g}.", "It is a share, from 0 to 1.")
    return BackendSpec(text, "simulated", model=name, params=params)


def _scripted(text: str, rest: str) -> BackendSpec:
    file, _, model = rest.partition("#")
    if not file:
        raise ConfigError(f"`{text}` names no file.", "Write for instance `scripted:turns.yaml`.")
    return BackendSpec(text, "scripted", target=file, model=model)


def _model(text: str, rest: str) -> BackendSpec:
    if rest.strip() != IN_USE:
        raise ConfigError(
            f"`{text}` names no model that could judge.", f"There is one: `model:{IN_USE}`, the one in use."
        )
    return BackendSpec(text, "model", model=IN_USE)


_PARSERS: Final[Mapping[str, Callable[[str, str], BackendSpec]]] = {
    "openai": _openai,
    "http": _http,
    "https": _http,
    "vllm": _vllm,
    "replay": _replay,
    "simulated": _simulated,
    "scripted": _scripted,
    "model": _model,
    "langchain": _langchain,
    **dict.fromkeys(PROVIDERS, _provider),
}
KINDS: Final = tuple(_PARSERS)
