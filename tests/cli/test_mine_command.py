"""`serm mine` writes what a round would send to the judges, with reasons, and the round finds it again."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from small_world import distinct_pairs, world

from serm.cli.main import run
from serm.core import Settings
from serm.graphs import mine


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    every = {"uncertainty": 1, "feedback": 1, "skipped": 1, "bald": 1, "committee": 1, "novelty": 1}
    miner = {"passes": 2, "pool": 40, "agents": every, "density": 1.0}
    path = folder / "serm.yaml"
    path.write_text(yaml.safe_dump(world(folder, tiny_encoder, distinct_pairs(30), miner=miner)))
    return path


def test_the_sample_is_written_with_who_chose_each_pair_and_why(
    config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "sample.csv"
    assert run(["mine", str(config), "--window", "m2", "--out", str(out)]) == 0
    sample = pd.read_csv(out)
    assert len(sample) == 40
    assert {"query_id", "doc_id", "query", "text", "agent", "agents", "reason"} <= set(sample.columns)
    assert sample["reason"].str.len().min() > 10
    assert {"bald", "novelty", "uncertainty"} <= set(sample["agent"])
    told = capsys.readouterr().out
    assert "40 pairs of" in told
    assert "committee" in told


def test_the_same_window_is_mined_once_and_the_first_model_is_that_of_the_run(config: Path) -> None:
    settings = Settings.from_yaml(config)
    first, again = mine(settings, "1"), mine(settings, "m2")
    pd.testing.assert_frame_equal(first.pairs, again.pairs)
    assert first.model == again.model
    assert sum(first.taken.values()) == 40
    samples = list((config.parent / "workspace" / "samples").glob("*/sample.parquet"))
    assert len(samples) == 1


def test_a_file_of_no_known_format_is_an_error_before_anything_is_done(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["mine", str(config), "--out", "sample.xls"]) == 2
    assert ".parquet, .csv, .jsonl" in capsys.readouterr().err
