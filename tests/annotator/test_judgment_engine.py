"""A SQLite file of judgments that two processes open."""

from __future__ import annotations

import sqlite3

import pytest

from serm.storage import judgment_engine


class _Busy:
    """A connection whose file another one is opening, for so many tries."""

    def __init__(self, tries: int) -> None:
        self.tries, self.said = tries, list[str]()

    def execute(self, statement: str) -> None:
        if "WAL" in statement and self.tries:
            self.tries -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        self.said.append(statement)


def test_a_new_database_that_another_process_opens_too_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = _Busy(3)
    judgment_engine._configure_sqlite(connection, None)
    assert [said.split("=")[0] for said in connection.said] == [
        "PRAGMA busy_timeout",
        "PRAGMA journal_mode",
        "PRAGMA synchronous",
    ]
    monkeypatch.setattr(judgment_engine, "_PATIENCE", -1)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        judgment_engine._configure_sqlite(_Busy(1), None)
