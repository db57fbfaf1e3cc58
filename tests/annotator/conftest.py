from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serm.core import Settings


@pytest.fixture
def settings_of(tmp_path: Path) -> Callable[..., Settings]:
    """Settings with these judges, in the test's folder."""

    def make(*judges: object, **sections: Any) -> Settings:
        values = {"data": {"sources": [{"pairs": "pairs.parquet"}]}, "judges": list(judges), **sections}
        return Settings.from_mapping(values, folder=tmp_path, environment={})

    return make
