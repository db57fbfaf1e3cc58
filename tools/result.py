"""What a tool tells its agent: a small JSON object, because a chat model reads every byte of it."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, Final

LIMIT: Final = 2_000
"""Bytes of UTF-8; the architecture asks for less than 2 KB."""

_STEPS: Final = (
    (60, 3, 8),
    (40, 3, 8),
    (24, 2, 8),
    (16, 1, 8),
    (8, 1, 8),
    (8, 1, 5),
    (8, 1, 3),
    (8, 1, 1),
)
"""Ever tighter: characters of a text, texts of a list, other items of a list. Examples go before findings."""


def result(values: Mapping[str, Any]) -> str:
    """`values` as JSON within `LIMIT` bytes: texts are cut and lists shortened until it fits.

    Raises ValueError where that is not enough: a tool has too many keys.
    """
    text = _dump(values)
    for step in _STEPS:
        if len(text.encode()) <= LIMIT:
            return text
        text = _dump(_shrunk(values, *step))
    if len(text.encode()) > LIMIT:
        raise ValueError(f"a tool's result has {len(text.encode())} bytes when shortened; give fewer keys")
    return text


def with_room_for(key: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """`values`, the text under `key` cut to what the others leave of `LIMIT`, and saying so: `result` would
    cut it as short as any. As they are where they fit, or where there is no text."""
    text = values.get(key)
    if not isinstance(text, str) or _size(values) <= LIMIT:
        return values

    def cut(kept: int) -> dict[str, Any]:
        return {**values, key: f"{text[:kept]}… (cut here: {kept} of {len(text)} characters)"}

    fitting = bisect_right(range(len(text)), LIMIT, key=lambda kept: _size(cut(kept)))
    return cut(max(0, fitting - 1))


def _size(values: Mapping[str, Any]) -> int:
    return len(_dump(values).encode())


def _dump(values: object) -> str:
    return json.dumps(values, ensure_ascii=False, default=_plain, separators=(",", ":"))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)  # numpy scalars


def _shrunk(value: Any, length: int, texts: int, items: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= length else value[: length - 1] + "…"
    if isinstance(value, Mapping):
        return {key: _shrunk(item, length, texts, items) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        kept_items = value[: texts if value and isinstance(value[0], str) else items]
        return [_shrunk(item, length, texts, items) for item in kept_items]
    return value
