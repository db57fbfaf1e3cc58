"""Databases that refuse: the error says which and why, and what was written before is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from databases import new_database
from test_peer_vote import said

from serm.core.errors import ConfigError, StorageError
from serm.storage.judgment_engine import open_engine, try_writing
from serm.storage.judgment_tables import METADATA
from serm.storage.judgments import JudgmentStore


def test_a_file_that_cannot_be_opened_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "judgments.sqlite").mkdir()
    with pytest.raises(StorageError, match=r"judgments\.sqlite cannot be used"):
        JudgmentStore(f"sqlite:///{tmp_path / 'judgments.sqlite'}")


def test_a_full_disk_is_a_storage_error_and_what_was_written_is_kept(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'judgments.sqlite'}"
    with JudgmentStore(url) as store:
        store.put([said("a", 1)])
        store._engine.dispose()  # new connections get a limit, and the error is that of a full disk
        sa.event.listen(
            store._engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count=40")
        )
        big = [said("a", 1, f"d{number}", rationale="x" * 4_000) for number in range(100)]
        with pytest.raises(StorageError, match="database or disk is full"):
            store.put(big)
        assert len(store.get(["a-d"])) == 1
    with JudgmentStore(url) as store:
        store.put(big)
        assert store.totals().judgments == 101


def test_a_damaged_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "judgments.sqlite").write_bytes(b"no database at all, and long enough to be told" * 100)
    with pytest.raises(StorageError, match="file is not a database") as raised:
        JudgmentStore(f"sqlite:///{tmp_path / 'judgments.sqlite'}")
    assert "Put a copy of it back" in raised.value.remedy


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("REVOKE CREATE ON SCHEMA public FROM PUBLIC", "permission denied"),
        ("ALTER ROLE reader SET default_transaction_read_only = on", "read-only"),
    ],
)
def test_a_server_on_which_nothing_may_be_written_is_a_storage_error(
    postgres: str, limit: str, says: str
) -> None:
    url = new_database(postgres)
    with sa.create_engine(postgres, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text("DROP ROLE IF EXISTS reader"))
        connection.execute(sa.text("CREATE ROLE reader LOGIN"))
    with sa.create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text(limit))
    reader = url.replace("serm@", "reader@")
    with pytest.raises(StorageError, match=says):
        JudgmentStore(reader)
    engine = open_engine(reader)
    with pytest.raises(sa.exc.SQLAlchemyError, match=says):
        try_writing(engine, METADATA)
    engine.dispose()


def test_a_connection_that_the_server_cut_while_nobody_used_it_is_made_again(postgres: str) -> None:
    url = new_database(postgres)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
    server = sa.create_engine(postgres, isolation_level="AUTOCOMMIT")
    with server.connect() as connection, JudgmentStore(url) as store:
        store.put([said("a", 2)])
        assert connection.execute(sa.text(cut), {"name": sa.make_url(url).database}).rowcount
        store.put([said("b", 1)])
        assert [judgment.grade for judgment in store.get(["a-d", "b-d"]).values()] == [2, 1]


def test_a_database_that_can_be_written_is_left_as_it_is_by_the_trial(url: str) -> None:
    with JudgmentStore(url) as store:
        store.put([said("a", 2)])
        engine = open_engine(url)
        try_writing(engine, METADATA)
        engine.dispose()
        assert store.totals().judgments == 1


def test_a_server_that_is_not_there_is_a_storage_error_and_passwords_are_not_shown() -> None:
    pytest.importorskip("psycopg", reason="the package psycopg is not installed")
    with pytest.raises(StorageError) as error:
        JudgmentStore("postgresql://serm:secret@127.0.0.1:9/none")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("url", ["judgments", "oracle://x", "mysql+nothing://x"])
def test_a_url_that_is_no_database_of_ours_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"storage\.database"):
        JudgmentStore(url)
