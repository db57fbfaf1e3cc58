"""Records of CSV text, line by line: an open quote spoils its own line and no other.

A field that begins with a quote and has no other one, csv.reader takes for one that goes on over the next
lines, up to a quote in another row, and would make one row of both without a word. So a record of several
lines that is no CSV, has another number of fields, or whose further lines are mostly rows by themselves, is
given up as its first line alone, and the others are read again.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

Record = tuple[list[str], str]
"""The fields, and what is wrong with them ("": nothing)."""
_WIDTH: Final = "another number of fields than the header"
_OPEN: Final = "no CSV: a quote is left open, and the lines after it are rows"


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
        if not wrong and _are_rows(lines.taken[1:], delimiter, width):
            wrong = _OPEN
        if wrong:
            first = lines.give_back()
            reader = _reader(lines, delimiter)
            fields = first.rstrip("\r\n").split(delimiter)
            if plain and len(fields) == width:
                row, wrong = fields, ""
        yield row, wrong


def _are_rows(further: Sequence[str], delimiter: str, width: int) -> bool:
    """Whether the further lines of a record are mostly rows that an open quote swallowed. Most is enough, for
    a swallowed row may be broken; a text of several lines has hardly ever that many commas, line by line."""
    lines = [line for line in further if line.strip()]
    return 2 * sum(_is_row(line, delimiter, width) for line in lines) > len(lines)


def _is_row(line: str, delimiter: str, width: int) -> bool:
    """Whether a line has the header's fields, none of them after a blank: commas of a sentence have one."""
    if width < 2 or line.count(delimiter) < width - 1:
        return False
    try:
        fields: list[str] = next(_reader([line], delimiter), [])
    except csv.Error:
        return False
    return len(fields) == width and not any(field[:1].isspace() for field in fields[1:])


def _reader(lines: Iterable[str], delimiter: str) -> Any:
    return csv.reader(lines, delimiter=delimiter, strict=True)
