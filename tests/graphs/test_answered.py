"""A round in which no judge answers stops, and its window is there for the same command again."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_world import distinct_pairs, world

from serm.core import Settings
from serm.core.errors import JudgeError
from serm.graphs import evolve


def test_a_window_that_recorded_judges_know_nothing_of_is_not_spent(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    """Answers of the second window come later: the run stops there, and goes on once they are there."""
    pairs = distinct_pairs(30)
    said = pairs[["query_id", "doc_id", "grade"]].assign(judge="ann")
    first = (pairs["timestamp"] < "2024-03-01").to_numpy()
    judges = [{"backend": "replay:said.parquet#ann"}]
    config = world(tmp_path, tiny_encoder, pairs, judges=judges, evolution={"rounds": 2})
    settings = Settings.from_mapping(config, folder=tmp_path, environment={})
    said[first].to_parquet(tmp_path / "said.parquet", index=False)
    with pytest.raises(JudgeError, match=r"judges failed on all \d+ pairs of round 2 \(window m3\)"):
        evolve(settings)
    said.to_parquet(tmp_path / "said.parquet", index=False)
    done = evolve(settings)
    counts = [report["counts"] for report in done.rounds[1:]]
    assert [told["labelled"] for told in counts] == [told["mined"] for told in counts]
    assert all(told["mined"] > 0 for told in counts)


def test_what_judges_failed_on_is_in_the_report(tmp_path: Path, tiny_encoder: Path) -> None:
    pairs = distinct_pairs(30)
    said = pairs[["query_id", "doc_id", "grade"]].assign(judge="ann")
    half = said[said.index % 2 == 0]
    half.to_parquet(tmp_path / "said.parquet", index=False)
    judges = [{"backend": "replay:said.parquet#ann"}]
    config = world(tmp_path, tiny_encoder, pairs, judges=judges, evolution={"rounds": 1})
    (report,) = evolve(Settings.from_mapping(config, folder=tmp_path, environment={})).rounds[1:]
    failed = report["counts"]["outcomes"]["failed"]
    assert 0 < failed < report["counts"]["mined"]
    assert report["failures"] == {"ann": {"missing": failed}}
