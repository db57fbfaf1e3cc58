"""Names of the data section that cannot be."""

from __future__ import annotations

import pytest

from serm.core import Settings
from serm.core.errors import ConfigError


def test_a_test_may_not_bear_the_name_of_the_next_window() -> None:
    values = {"data": {"tests": [{"name": "late"}, {"name": "evolving"}]}}
    with pytest.raises(
        ConfigError, match=r"data\.tests\.1\.name: .*`evolving` is what reports call"
    ) as error:
        Settings.from_mapping(values, environment={})
    assert "another name" in str(error.value)
