"""Pairs that wait for a person, and what people said of them: a folder a review, in the workspace's reviews/.

    reviews/current.json              which review the run waits for
    reviews/<labels>/review.json      whose labels it is about
                     pairs.parquet    what is asked, in the order of asking; never changed
                     answers.jsonl    appended to: every answer, skip and undo, on disk when it was given
                     closed.json      the answers that counted; none is taken after it

Answers may come from several processes at once: a lock on answers.jsonl puts them one after the other. The
latest answer to a pair counts; earlier ones stay in the file.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pandas as pd

from serm.core.columns import KEY
from serm.core.errors import DataError, WorkspaceError
from serm.core.records import GRADES, PairKey
from serm.core.text import keepable
from serm.storage.artifacts import storage_errors, write_json
from serm.storage.reading import read_frame, read_json

PAIRS: Final = "pairs.parquet"
ABOUT: Final = "review.json"
ANSWERS: Final = "answers.jsonl"
CLOSED: Final = "closed.json"
CURRENT: Final = "current.json"


@dataclass(frozen=True, slots=True)
class HumanAnswer:
    """What one person said of one pair, or took back."""

    query_id: str
    doc_id: str
    grade: int | None  # None: skipped, the person cannot or does not want to say
    reviewer: str
    at: str = ""  # ISO 8601, UTC; "" becomes now
    seconds: float | None = None  # from showing the pair to the answer; None where nobody measured
    note: str = ""
    saw_votes: bool = False  # the judges' votes were shown before the answer
    undone: bool = False  # takes back what was said of the pair

    def __post_init__(self) -> None:
        if self.grade is not None and self.grade not in GRADES:
            raise ValueError(f"grade {self.grade} is not one of {GRADES}")
        for name in ("reviewer", "note"):  # as a terminal or a file had them
            object.__setattr__(self, name, keepable(getattr(self, name)))
        if not self.at:
            object.__setattr__(self, "at", datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def key(self) -> PairKey:
        return PairKey(self.query_id, self.doc_id)

    @property
    def judge(self) -> str:
        """The person as one among the votes of a label."""
        return f"human:{self.reviewer}"


class Review:
    """One folder of it. Everything is read anew when asked for, as others may be answering too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def about(self) -> dict[str, Any]:
        """round, window, labels (a name in labels/), dropped (pairs that the panel dropped), opened (UTC)."""
        value: dict[str, Any] = read_json(self.folder / ABOUT)
        return value

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """query_id, doc_id, query, title, text, language, votes (JSON: judge, grade, reason,
        simulated), in the order of asking."""
        return read_frame(self.folder / PAIRS)

    @cached_property
    def keys(self) -> tuple[PairKey, ...]:
        """All pairs, in the order of asking."""
        return tuple(PairKey(*row) for row in self.pairs[list(KEY)].itertuples(index=False, name=None))

    def rows(self) -> dict[PairKey, dict[str, Any]]:
        """The same by pair."""
        records = [{str(name): value for name, value in row.items()} for row in self.pairs.to_dict("records")]
        return dict(zip(self.keys, records, strict=True))

    @property
    def closed(self) -> bool:
        """Whether the run has gone on with the answers."""
        return (self.folder / CLOSED).is_file()

    @property
    def closed_at(self) -> str | None:
        """When that was, ISO 8601 in UTC."""
        return str(self._outcome()["closed"]) if self.closed else None

    def history(self) -> list[HumanAnswer]:
        """All that was ever said, undone and replaced answers too, the oldest first."""
        path = self.folder / ANSWERS
        return _parse(path, path.read_bytes()) if path.is_file() else []

    def answers(self) -> dict[PairKey, HumanAnswer]:
        """The answers and skips that count, in the order of asking; of a closed review those of its end."""
        if self.closed:
            kept = [HumanAnswer(**item) for item in self._outcome()["answers"]]
            return {answer.key: answer for answer in kept}
        return self._standing(self.history())

    def open(self) -> list[PairKey]:
        """The pairs that nobody has answered or skipped, in the order of asking; [] once it is closed."""
        if self.closed:
            return []
        said = self.answers()
        return [key for key in self.keys if key not in said]

    def add(self, answers: Sequence[HumanAnswer]) -> None:
        """Take answers, all or none; they are on disk when this returns.

        Raises DataError for a pair that is not asked about, WorkspaceError where the review is closed.
        """
        asked = set(self.keys)
        for answer in answers:
            if answer.key not in asked:
                raise DataError(
                    f"query {answer.query_id}, document {answer.doc_id} is no pair of this review.",
                    f"Its pairs are in {self.folder / PAIRS}.",
                )
        lines = [json.dumps(asdict(answer), ensure_ascii=False) + "\n" for answer in answers]
        with self._locked() as file:
            if self.closed:
                raise WorkspaceError(
                    f"the review of round {self.about['round']} is closed: its labels are made.",
                    "`serm review CONFIG --status` says whether another one waits.",
                )
            _append(file, "".join(lines).encode())

    def close(self) -> dict[PairKey, HumanAnswer]:
        """Take no further answer; the answers that count. What is open stays without one. Safe to repeat."""
        with self._locked():
            if not self.closed:
                answers = self._standing(self.history())
                now = datetime.now(UTC).isoformat(timespec="seconds")
                write_json(
                    self.folder / CLOSED, {"closed": now, "answers": [asdict(a) for a in answers.values()]}
                )
        return self.answers()

    def _outcome(self) -> dict[str, Any]:
        value: dict[str, Any] = read_json(self.folder / CLOSED)
        return value

    def _standing(self, history: Sequence[HumanAnswer]) -> dict[PairKey, HumanAnswer]:
        latest = {answer.key: answer for answer in history}
        return {key: latest[key] for key in self.keys if key in latest and not latest[key].undone}

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """answers.jsonl, ours alone, to append to."""
        path = self.folder / ANSWERS
        with storage_errors(path):
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                # A process that was killed may have left half a line: it was no answer yet.
                os.ftruncate(file, path.read_bytes().rfind(b"\n") + 1)
                yield file
            finally:
                os.close(file)


def point_at(reviews: Path, review: Review, rounds: int | None) -> None:
    """Note which review the run waits for, and how many rounds the run was to make (None: all)."""
    write_json(reviews / CURRENT, {"labels": review.folder.name, "rounds": rounds})


def waiting(reviews: Path) -> tuple[Review, int | None] | None:
    """The review that the run waits for and the number of rounds it was to make; None where none waits."""
    file = reviews / CURRENT
    if not file.is_file():
        return None
    current: Mapping[str, Any] = read_json(file)
    review = Review(reviews / str(current["labels"]))
    return None if review.closed else (review, current["rounds"])


def _append(file: int, data: bytes) -> None:
    """All of it, flushed to disk, or nothing."""
    size = os.fstat(file).st_size
    try:
        while data:
            data = data[os.write(file, data) :]
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size)
        raise


def _parse(path: Path, text: bytes) -> list[HumanAnswer]:
    whole, _, _ = text.rpartition(b"\n")  # half a line at the end is no answer
    found = []
    for number, line in enumerate(whole.split(b"\n") if whole else (), start=1):
        try:
            found.append(HumanAnswer(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise WorkspaceError(
                f"{path} is damaged in line {number}: {error}.", "Take the line out, or restore the file."
            ) from error
    return found
