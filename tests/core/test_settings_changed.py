"""Settings that code changes are checked as a config's are."""

from __future__ import annotations

from pathlib import Path

import pytest

from serm.core import Settings
from serm.core.errors import ConfigError

GIVEN = {
    "judges": ["openai:gpt-4o", {"backend": "http://me:s3cret@host/v1#qwen", "grades": {2: 1}}],
    "budget": {"pairs_per_round": 600, "currency": 5.0},
    "miner": {"agents": {"drift": 2.0}},
}


def test_keys_are_laid_over_a_sections_own_and_a_list_takes_a_lists_place(tmp_path: Path) -> None:
    settings = Settings.from_mapping(GIVEN, folder=tmp_path, environment={})
    changed = settings.changed(judges="openai:other", budget={"pairs_per_round": 300}, random_seed=3)
    assert [judge.backend for judge in changed.judges] == ["openai:other"]
    assert (changed.budget.pairs_per_round, changed.budget.currency) == (300, 5.0)
    assert (changed.random_seed, changed.folder) == (3, tmp_path)
    assert changed.miner.agents == settings.miner.agents
    assert settings.changed() == settings
    assert settings.changed().judges[1].backend == "http://me:s3cret@host/v1#qwen"
    assert settings.changed().judges[1].grades == {2: 1}


def test_the_variables_of_keys_stay_though_a_dump_leaves_them_out() -> None:
    judges = [{"backend": "http://host/v1#a", "api_key_env": "GATEWAY"}, "openai:b"]
    agents = {"llm": "http://host/v1#a", "api_key_env": "OTHER"}
    settings = Settings.from_mapping({"judges": judges, "agents": agents}, environment={})
    changed = settings.changed(budget={"pairs_per_round": 300})
    assert [judge.api_key_env for judge in changed.judges] == ["GATEWAY", ""]
    assert changed.agents.api_key_env == "OTHER"
    assert Settings.from_mapping({}, environment={}).changed(random_seed=3).random_seed == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"judgs": []}, "judgs"),
        ({"budget": {"pairs": 3}}, r"budget\.pairs"),
        ({"gate": {"margin": "x"}}, "margin"),
    ],
)
def test_what_is_no_key_or_does_not_fit_is_a_config_error(change: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Settings.from_mapping({}, environment={}).changed(**change)
