"""A `SERM_` variable means what its key takes, whatever its text looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serm.core import Settings
from serm.core.errors import ConfigError
from serm.core.settings_loop import JudgeSettings


def under(values: dict[str, Any] | None = None, **variables: str) -> Settings:
    return Settings.from_mapping(values or {}, environment=variables)


def judges(text: str) -> list[str]:
    return [judge.backend for judge in under(SERM_JUDGES=text).judges]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("openai:gpt-4o", ["openai:gpt-4o"]),
        ("simulated:accuracy=0.85,shared=0.5,seed=7", ["simulated:accuracy=0.85,shared=0.5,seed=7"]),
        (
            "simulated:accuracy=0.85, seed=7#a, simulated:seed=8#b,anthropic:claude,",
            ["simulated:accuracy=0.85, seed=7#a", "simulated:seed=8#b", "anthropic:claude"],
        ),
        (
            "replay:a,b.parquet#j,http://h:8000/v1#Qwen/Qwen3-8B,https://h/v1#qwen:7b",
            ["replay:a,b.parquet#j", "http://h:8000/v1#Qwen/Qwen3-8B", "https://h/v1#qwen:7b"],
        ),
        ('["vllm:Qwen/Qwen3-8B", "model:champion"]', ["vllm:Qwen/Qwen3-8B", "model:champion"]),
        ('[{"backend": "scripted:turns.yaml", "name": "anna"}]', ["scripted:turns.yaml"]),
    ],
)
def test_judges_are_parted_in_front_of_a_kind_and_nowhere_else(text: str, named: list[str]) -> None:
    assert judges(text) == named


@pytest.mark.parametrize("text", ["mmd,ks", " mmd , ks,", '["mmd", "ks"]'])
def test_a_list_is_json_or_comma_separated(text: str) -> None:
    assert under(SERM_MINER__DRIFT_TESTS=text).miner.drift_tests == ("mmd", "ks")


def test_a_list_of_one_needs_no_comma() -> None:
    assert under(SERM_MINER__DRIFT_TESTS="ks").miner.drift_tests == ("ks",)
    when = under(SERM_DATA__SEED_GATE__BUCKETS__VALUES="0, 3", SERM_DATA__SEED_GATE__BUCKETS__MODULUS="5")
    assert when.data.seed_gate is not None
    assert when.data.seed_gate.buckets is not None
    assert when.data.seed_gate.buckets.values == (0, 3)


@pytest.mark.parametrize("text", ["@scratch/run", "2024", "007", "a: b", "no", "[x]", "{x}", "null", "*run"])
def test_a_path_is_taken_as_it_stands(text: str) -> None:
    assert under(SERM_WORKSPACE=text).workspace == Path(text)


@pytest.mark.parametrize("text", ["query: ", " Frage: ", "1", "yes", "'quoted'", "- ", "null"])
def test_a_text_is_taken_as_it_stands_with_its_blanks(text: str) -> None:
    assert under(SERM_MODEL__QUERY_PREFIX=text).model.query_prefix == text


def test_a_text_that_may_be_nothing_is_taken_as_it_stands_too() -> None:
    assert under(SERM_AGENTS__LLM="vllm:@models/q: 1").agents.llm == "vllm:@models/q: 1"
    assert under(SERM_STORAGE__SHARED="@shared").storage.shared == Path("@shared")


@pytest.mark.parametrize("text", ["null", " ~ "])
def test_a_key_that_may_be_nothing_can_be_set_to_it(text: str) -> None:
    values = {"agents": {"llm": "openai:gpt-4o"}, "evolution": {"rounds": 3}}
    settings = under(values, SERM_AGENTS__LLM=text, SERM_EVOLUTION__ROUNDS=text)
    assert settings.agents.llm is None
    assert settings.evolution.rounds is None


def test_numbers_truth_values_and_choices() -> None:
    settings = under(
        SERM_BUDGET__PAIRS_PER_ROUND=" 300 ",
        SERM_TRAINING__LEARNING_RATE="1e-5",
        SERM_TRAINING__SOFT_TARGETS="off",
        SERM_MODEL__PRECISION=" float32",
        SERM_LLM__VLLM__MAX_MODEL_LEN="4096",
        SERM_LLM__VLLM__DTYPE="auto",
    )
    assert settings.budget.pairs_per_round == 300
    assert settings.training.learning_rate == 1e-5
    assert settings.training.soft_targets is False
    assert settings.model.precision == "float32"
    assert settings.llm.vllm == {"max_model_len": 4096, "dtype": "auto"}


def test_a_map_is_json_and_a_key_of_it_may_be_set_over_it() -> None:
    variables = {"SERM_MINER__AGENTS__DRIFT": "2", "SERM_MINER__AGENTS": '{"drift": 1, "uncertainty": 1}'}
    assert under(**variables).miner.agents == {"drift": 2.0, "uncertainty": 1.0}


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("SERM_RANDOM_SEED", "@7", "SERM_RANDOM_SEED cannot be read"),
        ("SERM_DATA__SEED_GATE__AFTER", "2026-13-45", "SERM_DATA__SEED_GATE__AFTER cannot be read"),
        ("SERM_MINER__AGENTS", "{drift: 1}", "SERM_MINER__AGENTS is not JSON"),
        ("SERM_MINER__DRIFT_TESTS", "[mmd, ks]", "SERM_MINER__DRIFT_TESTS is not JSON"),
    ],
)
def test_a_text_that_cannot_be_read_is_told_by_its_variable_with_a_remedy(
    variable: str, text: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as raised:
        under(**{variable: text})
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("variable", "text", "key"),
    [
        ("SERM_RANDOM_SEED", "many", "random_seed"),
        ("SERM_MODEL__PRECISION", "off", r"model\.precision"),
        ("SERM_MODEL__BASEE", "@x", r"model\.basee: Extra inputs"),
        ("SERM_DATA__SOURCES", "pairs.parquet", r"data\.sources\.0"),
        ("SERM_WORKSPACE__NAME", "x", "workspace"),
    ],
)
def test_a_value_that_does_not_fit_is_told_by_its_key(variable: str, text: str, key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        under(**{variable: text})


def test_a_variable_of_somebody_else_is_left_alone() -> None:
    assert under(SERM_VLLM_MODEL="x", PATH="@y", SERM_WORKSPACE="") == Settings()


def test_logprobs_are_off_without_quotes_too() -> None:
    assert under({"judges": [{"backend": "openai:x", "logprobs": False}]}).judges[0].logprobs == "off"
    assert JudgeSettings(backend="openai:x").logprobs == "auto"


def test_a_date_that_no_calendar_has_is_no_bug(tmp_path: Path) -> None:
    config = tmp_path / "serm.yaml"
    config.write_text("data: {seed_gate: {after: 2026-13-45}}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"serm\.yaml is not YAML: month must be") as raised:
        Settings.from_yaml(config, {})
    assert raised.value.remedy


def test_a_config_that_cannot_be_read_is_told_with_a_remedy(tmp_path: Path) -> None:
    config = tmp_path / "serm.yaml"
    config.write_bytes(b"judges: [\xff]\n")
    with pytest.raises(ConfigError, match=r"serm\.yaml cannot be read") as raised:
        Settings.from_yaml(config, {})
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("SERM_BUDGET_PAIRS_PER_ROUND", "SERM_BUDGET__PAIRS_PER_ROUND"),
        ("SERM_JUDGE", "SERM_JUDGES"),
        ("SERM_RANDOMSEED", "SERM_RANDOM_SEED"),
        ("SERM_TRAINING_LEARNING_RATE", "SERM_TRAINING__LEARNING_RATE"),
    ],
)
def test_a_variable_that_nearly_names_a_key_is_misspelt(variable: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_mapping({}, environment={variable: "5"})
    assert variable in caught.value.message
    assert f"Write {meant}," in caught.value.remedy


def test_a_value_that_does_not_fit_is_told_of_by_its_variable_and_one_of_the_file_by_the_file() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_mapping(
            {"random_seed": "x", "model": None},
            environment={"SERM_BUDGET__PAIRS_PER_ROUND": "many"},
            origin="serm.yaml",
        )
    said = caught.value.message
    assert "the variable SERM_BUDGET__PAIRS_PER_ROUND: budget.pairs_per_round: " in said
    assert "serm.yaml: random_seed: " in said
    assert "serm.yaml: model: it is a section: put its keys below it" in said
