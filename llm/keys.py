"""Which key a server is sent: that of the variable that is named, OpenAI's at OpenAI's own servers, or none.

A server that is named by its URL may be anybody's, and its URL may begin with `http://`: OpenAI's key does
not go there unless the config says so.
"""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import urlsplit

import openai

from serm.core.errors import ConfigError
from serm.core.text import each_text
from serm.llm.spec import BackendSpec

NO_KEY: Final = "EMPTY"
"""What servers are sent that are to have no key: clients of OpenAI's protocol do not go without."""
OPENAI_KEY: Final = "OPENAI_API_KEY"
_OPENAI: Final = "https://api.openai.com/v1"
_BASE_URL: Final = "OPENAI_BASE_URL"
"""Where `openai:` is asked instead, as OpenAI's own client has it."""
_SHORTEST: Final = 8  # characters of a key that is looked for in a text; chosen, as in `discretion`
KEY_REFUSED: Final = ("HTTP 401:", "HTTP 403:")
"""How `Problem`s begin of a server that wants another key, or one at all."""


def key_variable(spec: BackendSpec, named: str = "") -> str:
    """The variable whose key is sent, `named` being the config's `api_key_env`; "" where none is."""
    if spec.login:  # it is sent in place of a key
        return ""
    return named or (OPENAI_KEY if _is_openai(spec) else "")


def api_key(spec: BackendSpec, named: str = "") -> str:
    """The key to send, or a placeholder where there is none. White space around it is left out: a file with
    Windows' line ends leaves a "\\r".

    Raises ConfigError where there has to be a key and is none, where there is a login beside it, or where it
    cannot stand in a request.
    """
    if named and spec.login:
        raise ConfigError(
            f"the URL of `{spec.text}` has a login, and `api_key_env` names a key: a request bears one.",
            "Take the login out of the URL, or leave out `api_key_env`.",
        )
    variable = key_variable(spec, named)
    key = os.environ.get(variable, "").strip()
    if not key and named:
        raise ConfigError(
            f"`{spec.text}` is to be sent the key in {named} (`api_key_env`), and {named} is not set.",
            f"Set {named}, or leave out `api_key_env` where the server wants no key.",
        )
    if not key and not spec.target:
        raise ConfigError(
            f"`{spec.text}` needs a key, and {OPENAI_KEY} is not set.",
            "Set it, name the variable that holds the key in `api_key_env`, or name a server of your own: "
            "`http://localhost:8000/v1#MODEL`.",
        )
    if not (key.isascii() and key.isprintable()):  # it is not shown: most of it may be the key
        raise ConfigError(
            f"{variable} holds a character that no key has: a line break, or one that is not ASCII.",
            "Set it anew, by the key alone.",
        )
    return key or NO_KEY


def key_hint(spec: BackendSpec, named: str = "") -> str:
    """What to do where a server refuses the key; "" where it is OpenAI's own, or a login."""
    if named:
        return f"It was sent the key in {named} (`api_key_env`): check that it is this server's."
    if spec.login or key_variable(spec):
        return ""
    return "It was sent no key: name the variable that holds its key in `api_key_env`."


def body_without_key(body: bytes, key: str) -> bytes:
    """What a server says, without the key that it was sent: servers echo it, and the name of its variable
    need not say that it holds one. Before anything is cut: half a key is one."""
    return body if len(key) < _SHORTEST else body.replace(key.encode(), b"***")


def hide_key(error: Exception, key: str) -> None:
    """The same for an error, which is then the one to raise, read and show."""

    def hidden(text: str) -> str:
        return text if len(key) < _SHORTEST else text.replace(key, "***")

    error.args = tuple(each_text(list(error.args), hidden))
    if isinstance(error, openai.APIStatusError):
        error.message = hidden(error.message)
        error.body = each_text(error.body, hidden)


def _is_openai(spec: BackendSpec) -> bool:
    """By scheme, host and port: over `http://` nobody answers for api.openai.com."""
    theirs = (_OPENAI, os.environ.get(_BASE_URL, "").strip())
    return not spec.target or _origin(spec.target) in [_origin(url) for url in theirs if url]


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    """None of a URL that is none: OPENAI_BASE_URL may hold anything, a backend's is looked at before."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
