"""`serm demo` makes its data once and runs the loop on it. The run itself is `make demo`."""

from __future__ import annotations

from pathlib import Path

import pytest

from serm.cli import evolve
from serm.cli.main import run
from serm.core import Settings


def test_the_demo_runs_on_a_config_that_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    watched: list[Path] = []
    monkeypatch.setattr(evolve, "watch", watched.append)
    assert run(["demo"]) == 0
    (config,) = watched
    settings = Settings.from_yaml(config, environment={})
    assert (config.parent / "pairs.parquet").is_file()
    assert len(settings.judges) >= 2
    assert all(judge.backend.startswith("simulated:") for judge in settings.judges)
    assert "simulated marketplace" in capsys.readouterr().out
