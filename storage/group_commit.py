"""Many small writes, few commits: a writer thread commits what has gathered as one transaction."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, Executable, Insert
from sqlalchemy.exc import DBAPIError

from serm.core.errors import StorageError
from serm.storage.judgment_engine import database_errors, passes

GROUP: Final = 1_000
"""Writes in one transaction, at most (chosen: far over the number of calls in flight)."""

TRIES: Final = 5
"""Of a transaction that another process stands in the way of (chosen)."""


@dataclass(frozen=True, slots=True)
class Write:
    """One statement and its rows. Writes of the very same statement object are executed as one."""

    statement: Executable
    rows: Sequence[Mapping[str, Any]]


Item = tuple[Sequence[Write], Future[None]]  # what belongs together, and who waits for it


class GroupCommit:
    """`submit(writes)` gives a future that is done once all of these writes are durable.

    While one transaction is being flushed to disk the next writes gather; so sixteen calls that end at about
    the same time cost one flush instead of sixteen, and one execution of each statement instead of sixteen.
    Within a transaction statements run in the order in which they came first, and their rows in that of their
    primary keys, so that two processes do not wait for each other; rows of one key in the order in which they
    came. A write that builds on another one's must wait for its future. A write that the database refuses
    fails alone: the others of its transaction are then written one by one. Where the disk is full or the
    server gone all of them bear the error.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="serm-judgments", daemon=True)
        self._thread.start()

    def submit(self, *writes: Write) -> Future[None]:
        future: Future[None] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the store is closed")
            self._queue.put((writes, future))
        return future

    def close(self) -> None:
        """Commit what is waiting, then stop."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        going = True
        while going:
            group: list[Item] = []
            item = self._queue.get()
            while item is not None:
                group.append(item)
                if len(group) >= GROUP or self._queue.empty():
                    break
                item = self._queue.get()
            going = item is not None
            if group:
                self._commit(group)

    def _commit(self, group: Sequence[Item]) -> None:
        try:
            self._write(group)
        except Exception as error:
            if len(group) > 1 and not isinstance(error, StorageError):  # it is the fault of one of them
                for item in group:
                    self._commit([item])
                return
            for _, future in group:
                with suppress(InvalidStateError):  # who waited was cancelled: Ctrl-C
                    future.set_exception(error)
        else:
            for _, future in group:
                with suppress(InvalidStateError):
                    future.set_result(None)

    def _write(self, group: Sequence[Item]) -> None:
        """All of it as one transaction."""
        rows_of: dict[Executable, list[Mapping[str, Any]]] = {}
        for writes, _ in group:
            for write in writes:
                rows_of.setdefault(write.statement, []).extend(write.rows)
        with database_errors(self._engine.url):
            for left in reversed(range(TRIES)):
                try:
                    self._execute(rows_of)
                except DBAPIError as error:
                    if not left or not passes(error):
                        raise
                else:
                    return

    def _execute(self, rows_of: Mapping[Executable, list[Mapping[str, Any]]]) -> None:
        with self._engine.begin() as connection:
            for statement, rows in rows_of.items():
                if rows:
                    connection.execute(statement, _in_order(statement, rows))


def _in_order(statement: Executable, rows: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows to insert by their primary key: another process that writes the same ones takes them alike."""
    if not isinstance(statement, Insert):
        return rows
    keys = [column.name for column in statement.table.primary_key]
    return sorted(rows, key=lambda row: [str(row.get(name, "")) for name in keys])
