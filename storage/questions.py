"""What a supervisor asks people, and what they said: a folder a question, in the workspace's questions/.

questions/current.json            which question the run waits for
questions/<key>/question.json     what is asked; never changed
                answer.json       what was said; given once
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from serm.core.errors import WorkspaceError
from serm.core.text import keepable
from serm.storage.artifacts import find_or_create, write_json
from serm.storage.reading import read_json

QUESTION: Final = "question.json"
ANSWER: Final = "answer.json"
CURRENT: Final = "current.json"


@dataclass(frozen=True)
class Question:
    """One folder of it. The answer is read anew when asked for."""

    folder: Path

    @cached_property
    def about(self) -> dict[str, Any]:
        """round, window, question, asked (ISO 8601, UTC)."""
        value: dict[str, Any] = read_json(self.folder / QUESTION)
        return value

    @property
    def text(self) -> str:
        return str(self.about["question"])

    @property
    def answer(self) -> dict[str, Any] | None:
        """answer (None: the person had none), person, at; None while nobody has said anything."""
        file = self.folder / ANSWER
        value: dict[str, Any] | None = read_json(file) if file.is_file() else None
        return value

    def settle(self, answer: str | None, person: str) -> None:
        """Keep what a person said; it is on disk when this returns. Raises WorkspaceError where somebody has
        answered before."""
        if (before := self.answer) is not None:
            raise WorkspaceError(
                f"{before['person']} has answered this question already.", "`serm evolve` goes on with that."
            )
        now = datetime.now(UTC).isoformat(timespec="seconds")
        said = None if answer is None else keepable(answer)
        write_json(self.folder / ANSWER, {"answer": said, "person": keepable(person), "at": now})


def put_question(questions: Path, key: str, about: Mapping[str, Any], rounds: int | None) -> Question:
    """Find or make a question, and note that the run waits for it; it was to make so many rounds (None: all).

    `about` is as `Question.about` has it, but for the time.
    """

    def make(folder: Path) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(folder / QUESTION, {**about, "asked": now})

    found = Question(find_or_create(questions, key, make))
    if found.answer is None:
        write_json(questions / CURRENT, {"question": key, "rounds": rounds})
    return found


def waiting_question(questions: Path) -> tuple[Question, int | None] | None:
    """The question that the run waits for and the number of rounds it was to make; None where none waits."""
    file = questions / CURRENT
    if not file.is_file():
        return None
    current = read_json(file)
    question = Question(questions / str(current["question"]))
    return None if question.answer is not None else (question, current["rounds"])
