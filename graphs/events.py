"""What a run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One step began, or moved on (`done` of `total`; a total of 0 means that nobody knows)."""

    round: int  # 0 while the first model is made
    step: str
    message: str = ""
    done: int = 0
    total: int = 0


Listener = Callable[[Event], None]


def nobody(_: Event) -> None:
    """The listener of a run that nobody watches."""
