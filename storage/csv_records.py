"""Records of CSV text, line by line: an open quote spoils its own line and no other.

A field that begins with a quote and has no other one, csv.reader takes for one that goes on over the next
lines, up to a quote in another row, and would make one row of both without a word. So a record of several
lines that is no CSV, or has another number of fields, is given up as its first line alone, and the others are
read again.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

Record = tuple[list[str], str]
"""The fields, and what is wrong with them ("": nothing)."""
_WIDTH = "another number of fields than the header"


class Lines:
    """Lines that can be given back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._waiting: deque[str] = deque()
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else next(self._lines)
        self.taken.append(line)
        return line

    def give_back(self) -> str:
        """All that was taken but the first line, which is returned."""
        first, *others = self.taken
        self._waiting.extendleft(reversed(others))
        self.taken = []
        return first


def records(lines: Lines, delimiter: str, width: int, *, plain: bool = False) -> Iterator[Record]:
    """The records after the header, empty lines left out.

    `plain`: a line that is no record with quotes may be one without: so is tab-separated text, whose fields
    hold neither tabs nor line ends, and whose quotes mean nothing.
    """
    reader = _reader(lines, delimiter)
    while True:
        lines.taken = []
        try:
            row, wrong = next(reader), ""
        except StopIteration:
            return
        except csv.Error as error:
            row, wrong = [], f"no CSV: {error}"
        if not row and not wrong:
            continue
        if not wrong and len(row) != width:
            wrong = _WIDTH
        if wrong:
            first = lines.give_back()
            reader = _reader(lines, delimiter)
            fields = first.rstrip("\r\n").split(delimiter)
            if plain and len(fields) == width:
                row, wrong = fields, ""
        yield row, wrong


def _reader(lines: Iterable[str], delimiter: str) -> Any:
    return csv.reader(lines, delimiter=delimiter, strict=True)
