"""What a tool tells its agent: a small JSON object, because a chat model reads every byte of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

LIMIT: Final = 2_000
"""Bytes of UTF-8; the architecture asks for less than 2 KB."""


def result(values: Mapping[str, Any]) -> str:
    """`values` as JSON under `LIMIT` bytes: long texts are cut and long lists shortened until it fits."""
    text = _dump(values)
    for length, items in ((80, 8), (48, 5), (32, 3), (16, 2), (8, 1)):
        if len(text.encode()) <= LIMIT:
            return text
        text = _dump(_shrunk(values, length, items))
    if len(text.encode()) <= LIMIT:
        return text
    raise ValueError(f"a tool's result has {len(text.encode())} bytes even when shortened; give fewer keys")


def _dump(values: object) -> str:
    return json.dumps(values, ensure_ascii=False, default=_plain, separators=(",", ":"))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)  # numpy scalars


def _shrunk(value: Any, length: int, items: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= length else value[: length - 1] + "…"
    if isinstance(value, Mapping):
        return {key: _shrunk(item, length, items) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shrunk(item, length, items) for item in value[:items]]
    return value
