"""A review as a file for people who grade in a spreadsheet, and what they hand back."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from serm.core.errors import ConfigError, DataError
from serm.core.records import GRADES, PairKey, Reject
from serm.storage.artifacts import write_file
from serm.storage.csv_file import separator_of, shown_cell, text_of_cell
from serm.storage.read_strictly import allow_long_fields
from serm.storage.reviews import HumanAnswer, Review

COLUMNS: Final = ("query_id", "doc_id", "query", "title", "text", "language", "grade", "note")
BEFORE: Final = ("grade_before", "note_before")
"""What had been said when the file was written: a row that says the same is one that nobody touched."""
VOTES: Final = "votes"
SKIP: Final = ("s", "skip")
"""In the place of a grade: the person was asked and does not want to say. An empty grade is no answer yet."""

_OURS: Final = ("query_id", "doc_id", "grade", "grade_before")  # read back as they are written
_SHOWN: Final = 20  # bad rows that an error names; chosen
_BOM: Final = "utf-8-sig"  # without the mark spreadsheets take UTF-8 for something else

Row = dict[str, Any]
T = TypeVar("T")


def export_review(review: Review, file: Path, *, votes: bool) -> int:
    """Write the pairs, with the answers so far, as .csv or .jsonl; returns how many.

    `votes` adds a column of what the judges said. Raises ConfigError for another ending.
    """
    write = _known(_WRITERS, file)
    answers = review.answers()
    columns = [*COLUMNS, *BEFORE, *([VOTES] if votes else [])]
    rows: list[Row] = []
    for key, row in review.rows().items():
        answer = answers.get(key)
        said = {"grade": grade_word(answer) if answer else "", "note": answer.note if answer else ""}
        whole = {**row, **said, **dict(zip(BEFORE, said.values(), strict=True))}
        rows.append({name: whole[name] for name in columns})
    write_file(file, lambda temporary: write(temporary, columns, rows))
    return len(rows)


def read_answers(review: Review, file: Path, reviewer: str) -> list[HumanAnswer]:
    """The answers in a .csv or .jsonl file with query_id, doc_id, grade (0 to 3, `skip`, or empty: not yet)
    and, if wanted, note and reviewer; those alone that are new or other than what was said before.

    Raises DataError that names every bad row by number and field; ConfigError for another ending.
    """
    if not file.is_file():
        raise DataError("there is no such file.", "Write one with `serm review CONFIG --export`.", file=file)
    asked, before = set(review.keys), review.answers()
    found: dict[PairKey, HumanAnswer] = {}
    bad: list[Reject] = []
    for number, row in read_rows(file):
        key = PairKey(_text(row["query_id"]), _text(row["doc_id"]))
        said = _text(row["grade"])
        grade, wrong = _grade(said)
        if key not in asked:
            names = f"query {key.query_id}, document {key.doc_id}"
            bad.append(Reject(str(file), number, "doc_id", f"{names} is no pair of this review"))
        elif wrong:
            bad.append(Reject(str(file), number, "grade", wrong))
        elif not said or _untouched(row):
            continue
        elif key in found and found[key].grade != grade:
            bad.append(Reject(str(file), number, "grade", "the pair has another grade in an earlier row"))
        else:
            name = _text(row.get("reviewer")) or reviewer
            found[key] = HumanAnswer(*key, grade=grade, reviewer=name, note=_note(row.get("note")))
    if bad:
        raise _refusal(bad, file)
    return [answer for key, answer in found.items() if not _same(answer, before.get(key))]


def grade_word(answer: HumanAnswer) -> str:
    """An answer's grade as a file has it."""
    return SKIP[-1] if answer.grade is None else str(answer.grade)


def read_rows(file: Path) -> Iterator[tuple[int, Row]]:
    """Rows of a table that people grade in, by number from 1, with query_id, doc_id and grade. Raises
    DataError where the file is none, ConfigError for another ending than .csv or .jsonl."""
    return _known(_READERS, file)(file)


def _same(answer: HumanAnswer, before: HumanAnswer | None) -> bool:
    """A file that is handed in again says nothing new of the pairs that were not touched."""
    return before is not None and (before.grade, before.note) == (answer.grade, answer.note)


def _untouched(row: Row) -> bool:
    """Others may have answered since the file was written, and it is not its reader who says so."""
    if not set(BEFORE) <= set(row):
        return False
    grade, note = (_text(row[name]) for name in BEFORE)
    return bool(grade) and (_grade(grade), note) == (_grade(_text(row["grade"])), _text(row.get("note")))


def _note(cell: object) -> str:
    return text_of_cell(_text(cell))


def _grade(text: str) -> tuple[int | None, str]:
    """(grade, what is wrong with it); spreadsheets write 2 as 2.0."""
    if not text or text.lower() in SKIP:
        return None, ""
    names = {form: grade for grade in GRADES for form in (str(grade), f"{grade}.0", f"{grade},0")}
    return (names[text], "") if text in names else (None, f"`{text}` is no grade: 0, 1, 2, 3 or skip")


def _refusal(bad: Sequence[Reject], file: Path) -> DataError:
    first, *rest = bad
    more = "; ".join(f"row {item.row}, field {item.field}: {item.reason}" for item in rest[: _SHOWN - 1])
    unsaid = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    return DataError(
        f"{first.reason}{'; ' if more else ''}{more}{unsaid}.",
        "Nothing of the file was taken: mend these rows and import it again.",
        file=file,
        row=first.row,
        field=first.field,
    )


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _check_columns(present: Sequence[str], file: Path) -> None:
    for name in ("query_id", "doc_id", "grade"):
        if name not in present:
            raise DataError(
                f"the column `{name}` is missing; there are {', '.join(present) or 'none'}.",
                "Keep the header that `--export` wrote.",
                file=file,
                field=name,
            )


def _write_csv(file: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    with file.open("w", encoding=_BOM, newline="") as text:
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        for row in rows:
            shown = {
                name: shown_cell(value) if isinstance(value, str) and name not in _OURS else value
                for name, value in row.items()
            }
            writer.writerow(shown)


def _write_jsonl(file: Path, _: Sequence[str], rows: Sequence[Row]) -> None:
    with file.open("w", encoding="utf-8") as text:
        for row in rows:
            votes = {VOTES: json.loads(row[VOTES])} if VOTES in row else {}
            text.write(json.dumps({**row, **votes}, ensure_ascii=False) + "\n")


def _read_csv(file: Path) -> Iterator[tuple[int, Row]]:
    """Rows counted from 1, the header not counted. Separated as the header is: by comma, semicolon or tab."""
    allow_long_fields()
    try:
        with file.open(encoding=_BOM, newline="") as text:
            header = text.readline()
            text.seek(0)
            reader = csv.DictReader(text, delimiter=separator_of(header), strict=True)
            _check_columns(reader.fieldnames or [], file)
            yield from enumerate(reader, start=1)
    except UnicodeDecodeError as error:
        raise DataError("it is not UTF-8.", "Save it as CSV UTF-8.", file=file) from error
    except csv.Error as error:
        raise DataError(f"it is no CSV: {error}.", "Save it as CSV UTF-8.", file=file) from error


def _read_jsonl(file: Path) -> Iterator[tuple[int, Row]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict):
                raise DataError("it is no JSON object.", "Write one object a line.", file=file, row=number)
            _check_columns(list(row), file)
            yield number, row


Writer = Callable[[Path, Sequence[str], Sequence[Row]], None]
Reader = Callable[[Path], Iterator[tuple[int, Row]]]
_WRITERS: Final[Mapping[str, Writer]] = {".csv": _write_csv, ".jsonl": _write_jsonl}
_READERS: Final[Mapping[str, Reader]] = {".csv": _read_csv, ".jsonl": _read_jsonl}


def _known(by_ending: Mapping[str, T], file: Path) -> T:
    try:
        return by_ending[file.suffix.lower()]
    except KeyError:
        raise ConfigError(
            f"{file}: a review is no `{file.suffix}` file.", f"Write one of {', '.join(by_ending)}."
        ) from None
