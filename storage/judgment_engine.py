"""The database of the judgments store, SQLite or PostgreSQL: opened the same way, failing alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from serm.core.errors import StorageError


def open_engine(url: str) -> sa.Engine:
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _configure_sqlite)
    return engine


def _configure_sqlite(connection: Any, _: object) -> None:
    """Readers beside one writer; FULL, because a judgment that was paid for must outlive a power cut."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def database_errors(url: sa.URL) -> Iterator[None]:
    try:
        yield
    except sa.exc.OperationalError as error:
        raise StorageError(
            f"the judgments store {url.render_as_string(hide_password=True)} cannot be used: {error.orig}.",
            "Free some space, make it writable or start the server, and run the same command again; "
            "what was written is kept.",
        ) from error
