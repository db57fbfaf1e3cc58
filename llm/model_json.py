"""JSON that a model wrote, as its answer or as the arguments of a call: read with care, in one place.

What it says can be kept: escapes let a model write half an emoji (`\\ud83d`) or a NUL (`\\u0000`) in plain
ASCII, and once read they would fail whatever file, database or server meets them next.
"""

from __future__ import annotations

import json
from typing import Any

from serm.core.text import each_text, keepable


def read_json(text: str) -> Any:
    """What a text says, its own texts made keepable. Raises ValueError where it is no JSON, names a field
    twice, is nested too deep or holds a number of thousands of digits, which Python does not read."""
    try:
        return keepable_value(json.loads(text, object_pairs_hook=_each_once))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def try_json(text: str) -> Any:
    """The same; None where it cannot be read."""
    try:
        return read_json(text)
    except ValueError:
        return None


def keepable_value(value: Any) -> Any:
    """A value as JSON has it, every text in it made keepable, names too."""
    return each_text(value, keepable)


def _each_once(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """A model that changes its mind within an answer (`"grade": 3, ... "grade": 0`) has not said which."""
    found = dict(fields)
    if len(found) < len(fields):
        raise ValueError("it names a field twice")
    return found
