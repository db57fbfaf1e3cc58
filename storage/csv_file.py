"""Tables as CSV files that come back as they were, and what spreadsheets make of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd


_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet computes, and does not show."""


def shown_cell(text: str) -> str:
    """A stranger's text as the cell of a spreadsheet that somebody will open: never a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def text_of_cell(cell: str) -> str:
    """The text again."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def separator_of(header: str) -> str:
    """What parts the columns of a file with this first line: a comma, a semicolon or a tab."""
    return max(",;\t", key=header.count)


def to_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write without an index. Lines end by CR and LF, as RFC 4180 has it: what is quoted hangs on the line's
    end, and with LF alone a carriage return in a text would stand bare, which readers take for an end."""
    frame.to_csv(path, index=False, lineterminator="\r\n")
