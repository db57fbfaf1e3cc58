"""What an interrupted run waits for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serm.storage.questions import Question
from serm.storage.reviews import Review


@dataclass(frozen=True, slots=True)
class Wait:
    """False where it waits for nothing (any more)."""

    pairs: int = 0  # without an answer in the review
    question: str = ""  # of the supervisor

    def __bool__(self) -> bool:
        return bool(self.pairs or self.question)

    @property
    def sentence(self) -> str:
        if self.question:
            return f"waiting for a person: {self.question} (answer with `serm answer CONFIG`)"
        return f"waiting for a person: {self.pairs} pairs, answer them with `serm review CONFIG`"


def what_waits(workspace: Path, interrupt: Mapping[str, Any]) -> Wait:
    """What is still open of an interrupt's value: of a review, or of a question."""
    if "review" in interrupt:
        return Wait(pairs=len(Review(workspace / interrupt["review"]).open()))
    question = Question(workspace / interrupt["folder"])
    return Wait(question=question.text if question.answer is None else "")
