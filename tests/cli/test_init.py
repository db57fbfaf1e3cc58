"""`serm init` writes a config that is valid, commented, and never overwrites."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from serm.cli.main import run
from serm.core import Settings


def test_the_written_config_loads_and_is_the_default_but_for_its_examples(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    assert run(["init", str(config)]) == 0
    settings = Settings.from_yaml(config, environment={})
    plain = Settings.from_mapping({"data": {"sources": [{"pairs": "pairs.parquet"}]}}, environment={})
    assert settings.model_dump(exclude={"judges"}) == plain.model_dump(exclude={"judges"})
    assert len(settings.judges) == 2


def test_what_is_commented_out_is_valid_too(tmp_path: Path) -> None:
    config = tmp_path / "serm.yaml"
    run(["init", str(config)])
    lines = config.read_text(encoding="utf-8").splitlines()
    shown = [_uncommented(line) for line in lines]
    values = yaml.safe_load("\n".join(shown))
    settings = Settings.from_mapping(values, environment={})
    assert len(settings.data.sets) == 4
    assert settings.agents.llm == "openai:gpt-4o"
    assert settings.llm.prices["gpt-4o"].output == 10
    assert settings.evolution.rounds == 3
    assert settings.budget.currency == 20
    assert settings.data.sources[0].columns == {"query": "search_term", "text": "description"}


def _uncommented(line: str) -> str:
    """A line that is a setting behind a `# ` without it; prose and other lines as they are."""
    body = line.lstrip()
    if not body.startswith("# "):
        return line
    indent, text = line[: len(line) - len(body)], body[2:]
    keys = (
        "sets:",
        "  - {set:",
        "columns:",
        "llm:",
        "currency:",
        "evolution:",
        "  concurrency:",
        "  prices:",
    )
    return indent + text if text.startswith((*keys, "  prices:")) else line


def test_a_folder_gets_a_serm_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", str(tmp_path)]) == 0
    assert (tmp_path / "serm.yaml").is_file()
    assert f"serm doctor {tmp_path}/serm.yaml" in capsys.readouterr().out


def test_a_file_that_is_there_is_kept_unless_forced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "serm.yaml"
    config.write_text("mine", encoding="utf-8")
    assert run(["init", str(config)]) == 2
    assert config.read_text(encoding="utf-8") == "mine"
    assert "is there already" in capsys.readouterr().err
    assert run(["init", str(config), "--force"]) == 0
    assert config.read_text(encoding="utf-8") != "mine"
