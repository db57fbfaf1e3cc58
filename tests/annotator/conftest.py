from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import new_database, running_postgres

from serm.core import Settings


@pytest.fixture
def settings_of(tmp_path: Path) -> Callable[..., Settings]:
    """Settings with these judges, in the test's folder."""

    def make(*judges: object, **sections: Any) -> Settings:
        values = {"data": {"sources": [{"pairs": "pairs.parquet"}]}, "judges": list(judges), **sections}
        return Settings.from_mapping(values, folder=tmp_path, environment={})

    return make


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server that is started for these tests."""
    with running_postgres() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'judgments.sqlite'}"
    return new_database(request.getfixturevalue("postgres"))
