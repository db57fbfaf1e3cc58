"""Training recipes compared on the gate queries of a small world with a recorded judge."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml
from small_world import distinct_pairs, world

from serm.benchmarks.tune_recipe import main
from serm.core.errors import ConfigError


def config_in(folder: Path, encoder: Path) -> Path:
    pairs = distinct_pairs()
    config = world(folder, encoder, pairs, judges=["replay:recorded.parquet#careful"])
    recorded = pairs[["query_id", "doc_id", "grade"]].assign(judge="careful", rationale="")
    recorded.to_parquet(folder / "recorded.parquet", index=False)
    path = folder / "serm.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def test_each_recipe_is_told_by_what_it_adds_to_untrained(
    tmp_path: Path, tiny_encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_in(tmp_path, tiny_encoder)
    own = "{freeze_layers: 0, learning_rate: 0.003, epochs: 4}"
    asked = ["--windows", "m2", "--judges", "careful", "--seeds", "2", "--pairs", "60", "--sources", "shop"]
    main([str(config), *asked, "--recipes", "seed: head alone", "--try", own])
    head, _, untrained, careful, eager = capsys.readouterr().out.strip().splitlines()
    assert head.split("|")[1].strip() == "recipe"
    assert "shop (" in head
    assert untrained.split("|")[1].strip() == "untrained"
    assert careful.split("|")[1].strip() == "seed: head alone"
    assert eager.split("|")[1].strip() == own
    gains = [float(row.split("(")[1].split(" ")[0]) for row in (careful, eager)]
    assert gains[1] > gains[0] + 1, "weights that move learn this world's words"
    assert "[" in eager, "an interval"


def test_a_key_that_is_none_and_a_judge_without_grades_are_refused(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    config = config_in(tmp_path, tiny_encoder)
    with pytest.raises(ConfigError, match="epoch"):
        main([str(config), "--windows", "m2", "--judges", "careful", "--recipes", "--try", "{epoch: 4}"])
    recorded = tmp_path / "recorded.parquet"
    pd.read_parquet(recorded).query("query_id.str.startswith('q0')").to_parquet(recorded, index=False)
    with pytest.raises(ConfigError, match="none of careful has graded a pair of window m2"):
        main([str(config), "--windows", "m2", "--judges", "careful", "--recipes", "one epoch"])
    with pytest.raises(ConfigError, match="replay:FILE#JUDGE` with nobody"):
        main([str(config), "--windows", "m2", "--judges", "nobody", "--recipes", "one epoch"])
