"""The rejects file: every input row that was not taken, with file, row, field and reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Self

from serm.core.errors import DataError
from serm.core.records import Reject
from serm.storage.artifacts import storage_errors


def error_of(reject: Reject, said: str, remedy: str) -> DataError:
    """An error at a reject's place."""
    return DataError(said, remedy, file=reject.file, row=reject.row, field=reject.field or None)


class RejectLog:
    """Writes `Reject`s as JSON lines to `path`, and counts them. The file is there even if it stays empty."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reasons: Counter[str] = Counter()
        self.latest: Reject | None = None
        with storage_errors(path):
            self._file: IO[str] = path.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def count(self) -> int:
        return self.reasons.total()

    def add(self, reject: Reject) -> None:
        line = json.dumps(
            {"file": reject.file, "row": reject.row, "field": reject.field, "reason": reject.reason},
            ensure_ascii=True,  # a reject may quote what is no UTF-8
        )
        with storage_errors(self.path):
            self._file.write(line + "\n")
        self.reasons[reject.reason] += 1
        self.latest = reject

    def extend(self, rejects: Iterable[Reject]) -> None:
        for reject in rejects:
            self.add(reject)

    def close(self) -> None:
        """Flush and close. Safe to call twice."""
        with storage_errors(self.path):
            self._file.close()


def read_rejects(path: Path) -> Iterator[Reject]:
    """All rejects of a file, in the order in which they were met; one is in memory at a time."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield Reject(**json.loads(line))
