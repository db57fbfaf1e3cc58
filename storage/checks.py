"""Checks one chunk of raw rows: the good go on in the one form that serm knows, the rest is rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.columns import FEEDBACK, language_code
from serm.core.records import GRADES, Reject
from serm.core.settings_data import Source, grade_word
from serm.core.text import is_utf8
from serm.storage.rejects import RejectLog

CHECKED: Final = (
    "query_id",
    "doc_id",
    "query",
    "title",
    "text",
    "language",
    "source",
    "split",
    "timestamp",
    *FEEDBACK,
    "grade",
    "file",
    "row",
)
"""Columns of a checked chunk; `file` and `row` (from 1) say where a row came from."""

BLANK, WRONG_TYPE, NOT_UTF8 = "is blank", "wrong type", "not UTF-8"
HOLDS_NUL = "an id with a NUL character in it, which PostgreSQL does not keep"
NO_TEXT = "title and text are both blank"
BAD_GRADE = f"out of range: a grade is a whole number from {GRADES[0]} to {GRADES[-1]}"
OFF_SCALE = f"{BAD_GRADE}; `grades` of the source maps another scale"
UNNAMED_GRADE = "a value that the source's `grades` do not name"
BAD_MOMENT = "no date: write it by ISO 8601, as in 2024-05-31 or 2024-05-31T12:00:00Z"
BAD_NUMBER = "no number that is 0 or more"
_MISSING_WORDS: Final = frozenset({"", "na", "nan", "null", "none", "<na>"})  # for a number or a date

Mask = NDArray[np.bool_]


def checked(raw: pd.DataFrame, source: Source, file: str, rejects: RejectLog) -> pd.DataFrame:
    """Good rows of `raw` with the columns CHECKED; the others go to `rejects`, each with its first fault.

    `raw` has our column names (all required ones), values as the file gave them, and `row`.
    """
    faults = _Faults(len(raw))
    columns: dict[str, object] = {}
    for name in ("query_id", "doc_id", "query"):
        values = _texts(raw, name, faults, numbers=name != "query")
        faults.mark([not value.strip() for value in values], name, BLANK)
        if name != "query":
            faults.mark(["\0" in value for value in values], name, HOLDS_NUL)
        columns[name] = values
    for name in ("title", "text", "language", "split"):
        columns[name] = _texts(raw, name, faults)
    no_text = [
        not (title.strip() or text.strip())
        for title, text in zip(columns["title"], columns["text"], strict=True)  # type: ignore[call-overload]
    ]
    faults.mark(no_text, "text", NO_TEXT)
    columns["language"] = _languages(columns["language"], source)  # type: ignore[arg-type]
    columns["source"] = source.label
    columns["timestamp"] = _moments(raw, faults)
    for name in FEEDBACK:
        numbers = _numbers(raw, name, faults)
        faults.mark((numbers < 0) | np.isinf(numbers), name, BAD_NUMBER)
        columns[name] = numbers
    columns["grade"] = _grades(raw, source, faults)
    columns["file"], columns["row"] = file, raw["row"].to_numpy(np.int64)
    rejects.extend(faults.rejects(file, raw["row"].to_numpy(np.int64)))
    frame = pd.DataFrame(
        {
            name: pd.Series(value, dtype=object) if isinstance(value, list) else value
            for name, value in columns.items()
        },
        index=pd.RangeIndex(len(raw)),
    )
    good = frame.loc[~faults.mask, list(CHECKED)].reset_index(drop=True)
    return good.astype({"grade": "Int8"})


class _Faults:
    """The first fault of each of n rows."""

    def __init__(self, n: int) -> None:
        self.mask: Mask = np.zeros(n, dtype=bool)
        self._found: dict[int, tuple[str, str]] = {}

    def mark(self, bad: Sequence[bool] | Mask, field: str, reason: str) -> None:
        for index in np.flatnonzero(np.asarray(bad, dtype=bool) & ~self.mask).tolist():
            self._found[index] = (field, reason)
        self.mask |= np.asarray(bad, dtype=bool)

    def rejects(self, file: str, rows: NDArray[np.int64]) -> list[Reject]:
        return [Reject(file, int(rows[index]), *self._found[index]) for index in sorted(self._found)]


def _values(raw: pd.DataFrame, name: str) -> list[Any]:
    """The column's values with None for whatever says "nothing here"; all None where there is no column."""
    if name not in raw:
        return [None] * len(raw)
    column = raw[name]
    return [
        None if gone else value for value, gone in zip(column.tolist(), column.isna().tolist(), strict=True)
    ]


def _texts(raw: pd.DataFrame, name: str, faults: _Faults, *, numbers: bool = False) -> list[str]:
    """Texts, "" where there is none. Whole numbers are taken where `numbers` says so: many ids are."""
    values = _values(raw, name)
    texts = [
        value
        if isinstance(value, str)
        else str(value)
        if numbers and isinstance(value, int) and not isinstance(value, bool)
        else ""
        for value in values
    ]
    wrong = [
        value is not None and not isinstance(value, str) and not text
        for value, text in zip(values, texts, strict=True)
    ]
    faults.mark(wrong, name, WRONG_TYPE)
    broken = _not_utf8(texts)
    if broken is not None:
        faults.mark(broken, name, NOT_UTF8)
        texts = ["" if bad else text for text, bad in zip(texts, broken, strict=True)]
    return texts


def _languages(values: list[str], source: Source) -> list[str]:
    codes = {value: language_code(value) or source.language for value in set(values)}
    return [codes[value] for value in values]


def _not_utf8(texts: list[str]) -> list[bool] | None:
    """Which texts hold what UTF-8 cannot say (a lone surrogate); None where all are well."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return [not is_utf8(text) for text in texts]
    return None


def _numbers(raw: pd.DataFrame, name: str, faults: _Faults) -> NDArray[np.float64]:
    """Numbers, NaN where there is none."""
    if name not in raw:
        return np.full(len(raw), np.nan)
    if raw[name].dtype.kind in "iuf":
        return raw[name].to_numpy(np.float64)
    values = [_nothing_or(value) for value in _values(raw, name)]
    numbers = np.array([_number(value) for value in values], dtype=np.float64)
    faults.mark([value is not None for value in values] & np.isnan(numbers), name, WRONG_TYPE)
    return numbers


def _grades(raw: pd.DataFrame, source: Source, faults: _Faults) -> NDArray[np.float64]:
    """Grades, NaN where there is none; on another scale by what the source says of it."""
    if not source.grades:
        grades = _numbers(raw, "grade", faults)
        faults.mark(~np.isnan(grades) & ~np.isin(grades, GRADES), "grade", OFF_SCALE)
        return grades
    words = [
        None if (value := _nothing_or(item)) is None else grade_word(value) for item in _values(raw, "grade")
    ]
    faults.mark([word is not None and word not in source.grades for word in words], "grade", UNNAMED_GRADE)
    found = [None if word is None else source.grades.get(word) for word in words]
    return np.array([np.nan if grade is None else grade for grade in found], dtype=np.float64)


def _number(value: object) -> float:
    if isinstance(value, (bool, list, dict)):
        return np.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return np.nan
    except OverflowError:  # an integer of hundreds of digits
        return np.inf


def _nothing_or(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() in _MISSING_WORDS else value


def _moments(raw: pd.DataFrame, faults: _Faults) -> pd.Series:
    """Moments in UTC without a zone, NaT where there is none."""
    if "timestamp" not in raw:
        return pd.Series(pd.NaT, index=raw.index, dtype="datetime64[us]")
    if raw["timestamp"].dtype.kind == "M":
        moments = pd.Series(pd.to_datetime(raw["timestamp"], utc=True))
        return moments.dt.tz_localize(None).astype("datetime64[us]")
    values = [_nothing_or(value) for value in _values(raw, "timestamp")]
    given = np.array([value is not None for value in values], dtype=bool)
    no_date = np.array([not _may_be_a_date(value) for value in values], dtype=bool)
    faults.mark(given & no_date, "timestamp", BAD_MOMENT)
    candidates = [None if bad else value for value, bad in zip(values, no_date, strict=True)]
    moments = pd.Series(
        pd.to_datetime(pd.Series(candidates, dtype=object), errors="coerce", utc=True, format="ISO8601")
    )
    faults.mark(given & moments.isna().to_numpy(bool), "timestamp", BAD_MOMENT)
    return moments.dt.tz_localize(None).astype("datetime64[us]")


def _may_be_a_date(value: Any) -> bool:
    """Numbers are refused: seconds and milliseconds cannot be told apart; so are words like `now`."""
    return value[:1].isdigit() if isinstance(value, str) else hasattr(value, "year")
