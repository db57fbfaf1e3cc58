"""Many small writes, few commits: a writer thread commits what has gathered as one transaction."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from sqlalchemy import Connection, Engine

Write = Callable[[Connection], None]

GROUP: Final = 1_000
"""Writes in one transaction, at most (chosen: far over the number of calls in flight)."""


class GroupCommit:
    """`submit(write)` gives a future that is done once the write is durable.

    While one transaction is being flushed to disk the next writes gather; so sixteen calls that end at about
    the same time cost one flush instead of sixteen. A write that fails fails the transaction it is in: all of
    its futures bear the error.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: queue.SimpleQueue[tuple[Write, Future[None]] | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="serm-judgments", daemon=True)
        self._thread.start()

    def submit(self, write: Write) -> Future[None]:
        future: Future[None] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the store is closed")
            self._queue.put((write, future))
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
            group: list[tuple[Write, Future[None]]] = []
            item = self._queue.get()
            while item is not None:
                group.append(item)
                if len(group) >= GROUP or self._queue.empty():
                    break
                item = self._queue.get()
            going = item is not None
            if group:
                self._commit(group)

    def _commit(self, group: list[tuple[Write, Future[None]]]) -> None:
        try:
            with self._engine.begin() as connection:
                for write, _ in group:
                    write(connection)
        except Exception as error:
            for _, future in group:
                future.set_exception(error)
        else:
            for _, future in group:
                future.set_result(None)
