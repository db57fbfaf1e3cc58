"""Spans where they cannot be written: what the user reads, and what it may not hide."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serm.core.errors import StorageError
from serm.storage.artifacts import sqlite_errors, storage_errors
from serm.storage.trace import Span, SpanKind, Tracer, read_spans, span, worked

LONG = "x" * 1_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "traces.sqlite"


@pytest.fixture
def full(file: Path) -> Iterator[Tracer]:
    """A tracer whose database may not grow."""
    tracer = Tracer(file, "t")
    (pages,) = tracer._connection.execute("PRAGMA page_count").fetchone()
    tracer._connection.execute(f"PRAGMA max_page_count={pages}")
    with tracer.active():
        yield tracer
    tracer.close()


@pytest.mark.usefixtures("full")
def test_a_span_that_the_disk_has_no_room_for_is_a_storage_error(file: Path) -> None:
    full = pytest.raises(StorageError, match=r"traces\.sqlite cannot be used: the disk is full")
    with full as error, span("work", SpanKind.NODE, text=LONG):
        pass
    assert "run the same command again" in error.value.remedy
    with span("small", SpanKind.NODE):  # there is room for it, and nothing is left half-done
        pass
    assert [item.name for item in read_spans(file, "t")] == ["small"]


@pytest.mark.usefixtures("full")
def test_it_does_not_hide_what_went_wrong_inside() -> None:
    with pytest.raises(ZeroDivisionError, match="the cause"), span("work", SpanKind.NODE, text=LONG):
        raise ZeroDivisionError("the cause")


def test_a_table_that_cannot_be_made_or_is_none_is_a_storage_error(tmp_path: Path, file: Path) -> None:
    with pytest.raises(StorageError, match="it cannot be opened"):
        Tracer(tmp_path / "nowhere" / "traces.sqlite", "t")
    file.write_bytes(b"no database at all, and long enough to be told from an empty one" * 20)
    for use in (lambda: Tracer(file, "t"), lambda: read_spans(file, "t")):
        with pytest.raises(StorageError, match="it is no SQLite database"):
            use()


def test_a_table_that_another_program_holds_is_a_storage_error(file: Path) -> None:
    tracer = Tracer(file, "t")
    tracer._connection.execute("PRAGMA busy_timeout=50")
    other = sqlite3.connect(file)
    other.execute("BEGIN IMMEDIATE")
    locked = pytest.raises(StorageError, match="another program holds it locked")
    with locked, tracer.active(), span("work", SpanKind.NODE):
        pass
    other.close()
    tracer.close()


def test_a_span_holds_whatever_its_texts_hold(file: Path) -> None:
    tracer = Tracer(file, "t")
    with tracer.active(), span("half \ud83d", SpanKind.TOOL, given="half \ud83d") as current:
        current.error = "half \ud83d\0"
    tracer.close()
    (item,) = read_spans(file, "t")
    assert (item.name, item.inputs["given"]) == ("half \ufffd", "half \ufffd")
    assert item.error == "half \ufffd\ufffd"


def test_what_sqlite_says_of_a_statement_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    for errors in (storage_errors, sqlite_errors):
        with pytest.raises(sqlite3.OperationalError, match="no such table"), errors(tmp_path):
            sqlite3.connect(":memory:").execute("SELECT * FROM missing")


def test_time_in_which_nobody_worked_is_no_working_time(file: Path) -> None:
    tracer, second, now = Tracer(file, "t"), 10**9, time.time_ns()
    night = now - 80_000 * second
    for number, (start, end, kind) in enumerate(
        [
            (night, night + 10 * second, SpanKind.NODE),
            (night + 2 * second, night + 5 * second, SpanKind.TOOL),  # within the node
            (night + 20 * second, night + 30 * second, SpanKind.SHARD),  # its node was killed
            (night + 25 * second, night + 32 * second, SpanKind.SHARD),  # beside it
            (now - 9 * second, now - 5 * second, SpanKind.NODE),
            (night, now, SpanKind.ROUND),
        ]
    ):
        tracer.write(Span("t", str(number), None, "work", kind, start, {}, ended=end))
    tracer.write(Span("another", "else", None, "work", SpanKind.NODE, night, {}, ended=now))
    tracer.close()
    assert worked(file, "t", since=now) == pytest.approx(10 + 12 + 4, abs=2)
    assert worked(file, "t", since=now - 3 * second) == pytest.approx(10 + 12 + 4 + 3, abs=2)
