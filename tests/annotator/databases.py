"""A real PostgreSQL server, and databases of their own on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

COUNTER = count(1)


def new_database(server: str) -> str:
    """The URL of a database that nobody has written to, on a server of this URL."""
    name = f"t{next(COUNTER)}"
    with sa.create_engine(server, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    return server.replace("/postgres?", f"/{name}?")


@contextmanager
def running_postgres() -> Iterator[str]:
    """The URL of a server that is started; the tests are skipped where there is none to start."""
    pytest.importorskip("psycopg", reason="the package psycopg is not installed")
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), *filter(None, [shutil.which("initdb")])]
    if not found:
        pytest.skip("PostgreSQL is not installed")
    tools = Path(found[0]).resolve().parent
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="serm-postgres-"))
    try:
        if user:
            shutil.chown(folder, user)
        init = [tools / "initdb", "-D", folder / "data", "-U", "serm", "-A", "trust", "--no-sync"]
        subprocess.run(init, check=True, capture_output=True, user=user, cwd="/")
        run = [tools / "postgres", "-D", folder / "data", "-k", folder, "-h", "", "-c", "fsync=off"]
        server = subprocess.Popen(run, stderr=subprocess.DEVNULL, user=user, cwd="/")
        try:
            deadline = time.monotonic() + 30
            while not (folder / ".s.PGSQL.5432").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.3)
            yield f"postgresql+psycopg://serm@/postgres?host={folder}"
        finally:
            server.send_signal(signal.SIGINT)  # do not wait for callers to leave
            server.wait(30)
    except (LookupError, PermissionError, subprocess.CalledProcessError) as error:
        pytest.skip(f"PostgreSQL cannot be started here: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
