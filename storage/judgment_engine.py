"""The database of the judgments store, SQLite or PostgreSQL: opened the same way, failing alike."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa

from serm.core.discretion import discreet
from serm.core.errors import ConfigError, MissingDependencyError, StorageError

_REFUSED: Final = (
    "Free some space, make it writable or start the server, and run the same command again; "
    "what was written is kept."
)
_PATIENCE: Final = 30  # seconds for which a locked SQLite file is waited for
_AGAIN: Final = 0.02  # seconds
_MAKING: Final = 0x7365726D
"""The advisory lock of who makes tables (chosen: the bytes of "serm")."""
_PASSING: Final = ("40P01", "40001")
"""SQLSTATE of a deadlock, and of transactions that cannot be put in an order: the other side went on."""
_DAMAGED: Final = "Put a copy of it back, or move it away; then run the same command again."


def open_engine(url: str) -> sa.Engine:
    """An engine for a SQLAlchemy URL.

    Raises ConfigError where it is none, MissingDependencyError where its driver is not installed.
    """
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise ConfigError(
                f"`storage.database`: judgments are not kept in {parsed.get_backend_name()}.",
                "Use PostgreSQL, or leave it out for SQLite.",
            )
        if parsed.drivername == "postgresql":  # SQLAlchemy's default driver is the one before
            parsed = parsed.set(drivername="postgresql+psycopg")
        # Pre-ping: a server may have cut a pooled connection while a round trained.
        engine = sa.create_engine(parsed, pool_pre_ping=True)
    except (sa.exc.ArgumentError, ValueError) as error:  # ValueError: a port that is none
        raise ConfigError(  # which word is wrong is not told: it may be a piece of the password
            "`storage.database` is no URL of a database that there is a driver for.",
            "Write for instance `postgresql://user@host/database`, or leave it out for SQLite.",
        ) from error
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"the database of `storage.database` needs the package `{error.name}`.",
            "For PostgreSQL: pip install 'psycopg[binary]'.",
        ) from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _configure_sqlite)
    return engine


def _configure_sqlite(connection: Any, _: object) -> None:
    """Readers beside one writer, for which others wait; FULL, because a judgment that was paid for must
    outlive a power cut."""
    connection.execute(f"PRAGMA busy_timeout={_PATIENCE * 1000}")
    _set_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")


def _set_wal(connection: Any) -> None:
    """SQLite does not wait by itself here where two that open a new database both hold a read lock."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > until:
                raise
            time.sleep(_AGAIN)
        else:
            return


def create_missing_tables(engine: sa.Engine, metadata: sa.MetaData) -> None:
    """Several processes may do so to one database at the same time: none looks first and makes then. In
    PostgreSQL they go one after another, where `IF NOT EXISTS` itself looks first."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))
        for table in metadata.sorted_tables:
            connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))


def add_missing_columns(engine: sa.Engine, metadata: sa.MetaData) -> None:
    """Bring tables that an earlier version made up to date: columns that came later may be null.

    Several processes may do so to one server at the same time.
    """
    there = sa.inspect(engine)
    absent = "IF NOT EXISTS " if engine.dialect.name == "postgresql" else ""
    for table in metadata.sorted_tables:
        names = {column["name"] for column in there.get_columns(table.name)}
        for column in table.columns:
            if column.name not in names:
                kind = column.type.compile(engine.dialect)
                with engine.begin() as connection:
                    added = f"ALTER TABLE {table.name} ADD COLUMN {absent}{column.name} {kind}"
                    connection.execute(sa.text(added))


def try_writing(engine: sa.Engine, metadata: sa.MetaData) -> None:
    """Make the tables as a run does, and write no rows to each: a database that may only be read refuses.

    Raises SQLAlchemyError where it does.
    """
    create_missing_tables(engine, metadata)
    add_missing_columns(engine, metadata)
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            nothing = sa.select(table).where(sa.false())
            connection.execute(
                sa.insert(table).from_select([column.name for column in table.columns], nothing)
            )
            connection.execute(sa.delete(table).where(sa.false()))


def passes(error: sa.exc.DBAPIError) -> bool:
    """Whether the very same transaction may succeed when it is tried again."""
    return getattr(error.orig, "sqlstate", None) in _PASSING


def shown(url: sa.URL) -> str:
    """A database's URL for people: no password, and none of the options behind it, which may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)


@contextmanager
def database_errors(url: sa.URL) -> Iterator[None]:
    """Turn a full disk, a read-only or damaged database, a right that is missing or a server that is gone
    into a StorageError. What is wrong with a row alone (DataError, IntegrityError) stays what it is."""
    try:
        yield
    except (sa.exc.DataError, sa.exc.IntegrityError):
        raise
    except sa.exc.DBAPIError as error:
        # A missing right is a ProgrammingError, a server that may only be read an InternalError.
        said = discreet(" ".join(str(error.orig).split()))
        damaged = type(error) is sa.exc.DatabaseError  # of no kind: what SQLite says of a file that is none
        raise StorageError(
            f"the judgments store {shown(url)} cannot be used: {said}.", _DAMAGED if damaged else _REFUSED
        ) from error
