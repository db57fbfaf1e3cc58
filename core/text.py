"""Texts that come from outside: which of them can be kept as they are, and what stands in for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

_LOST: Final = "\ufffd"
"""What Unicode itself puts where a character is lost."""


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can say it: a lone surrogate (half an emoji, a byte that was no UTF-8) it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def keepable(text: str) -> str:
    """The text as any file and database takes it: a lone surrogate, which no encoding can say, and a NUL,
    which PostgreSQL refuses, give way to U+FFFD. Any other text is returned as it is."""
    if not is_utf8(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # pairs become one again
    return text.replace("\0", _LOST)


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """A value as JSON has it, `change` made to every text in it, names too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [each_text(item, change) for item in value]
    if isinstance(value, dict):
        return {each_text(name, change): each_text(item, change) for name, item in value.items()}
    return value
