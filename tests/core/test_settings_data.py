"""Names of the data section that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serm.core import Settings
from serm.core.errors import ConfigError
from serm.core.yaml_file import read_yaml


def test_a_test_may_not_bear_the_name_of_the_next_window() -> None:
    values = {"data": {"tests": [{"name": "late"}, {"name": "evolving"}]}}
    with pytest.raises(
        ConfigError, match=r"data\.tests\.1\.name: .*`evolving` is what reports call"
    ) as error:
        Settings.from_mapping(values, environment={})
    assert "another name" in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"judges": [{"backend": "simulated:accuracy=1", "sources": ["shop", "zz"]}]},
        {"data": {"sets": [{"set": "gate", "when": {"source": ["zz"]}}]}},
        {"data": {"seed_gate": {"source": ["zz"]}}},
        {"data": {"windows": {"rules": [{"name": "w", "when": {"source": ["zz"]}}]}}},
        {"data": {"tests": [{"name": "t", "when": {"source": ["zz"]}}]}},
    ],
)
def test_a_source_that_is_none_is_refused_where_sources_are_named(change: dict[str, Any]) -> None:
    data = {"sources": [{"pairs": "a.parquet", "name": "shop"}], **change.get("data", {})}
    with pytest.raises(ConfigError, match=r"there is no source `zz`; there are shop"):
        Settings.from_mapping({**change, "data": data}, environment={})
    data["sources"].append({"pairs": "b.parquet", "name": "zz"})
    Settings.from_mapping({**change, "data": data}, environment={})


def test_a_key_that_stands_twice_is_refused_and_an_anchor_may_be_laid_over(tmp_path: Path) -> None:
    file = tmp_path / "serm.yaml"
    file.write_text("budget:\n  pairs_per_round: 40\nrandom_seed: 3\nbudget:\n  currency: 20\n")
    with pytest.raises(ConfigError, match="`budget` stands twice, in lines 1 and 4"):
        Settings.from_yaml(file, environment={})
    file.write_text("gate: &one {margin: 0.02, level: 0.8}\nmodel: {max_length: 64}\n")
    assert Settings.from_yaml(file, environment={}).gate.level == 0.8
    assert read_yaml("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n")["d"] == {"b": 1, "c": 3}


@pytest.mark.parametrize("agents", [{}, {"drift": 0}, {"drift": -1, "bald": 2}])
def test_agents_need_a_share_of_the_budget_unless_none_is_asked(agents: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"miner.*(no agent has a share|greater than or equal to 0)"):
        Settings.from_mapping({"miner": {"agents": agents}}, environment={})
    if not any(agents.values()):
        Settings.from_mapping({"miner": {"agents": agents, "choice": "random"}}, environment={})
