"""Column names of the formats (docs/formats.md) and the one way a document becomes text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

KEY: Final = ("query_id", "doc_id")
REQUIRED: Final = ("query_id", "query", "doc_id", "text")
OPTIONAL: Final = (
    "title",
    "grade",
    "split",
    "language",
    "timestamp",
    "impressions",
    "clicks",
    "dwell_seconds",
    "position",
)
PAIR: Final = REQUIRED + OPTIONAL
FEEDBACK: Final = ("impressions", "clicks", "dwell_seconds", "position")
DISTRIBUTION: Final = ("p0", "p1", "p2", "p3")


def language_code(value: str) -> str:
    """A language as everything here names it: codes do not differ by case (BCP 47), nor by `_` for `-`."""
    return value.strip().lower().replace("_", "-")


def document_text(titles: Iterable[str], texts: Iterable[str]) -> list[str]:
    """Title and text joined by a line break, the empty part left out: what encoders and judges read."""
    return [
        f"{title}\n{text}" if title and text else (title or text)
        for title, text in zip(titles, texts, strict=True)
    ]
