"""Nobody reads the grades of the stream and of the tests before the gate has decided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_world import make_pairs, world

from serm.core import Settings
from serm.core.hashing import query_bucket
from serm.graphs import evolve

RECORDED = "judgments.parquet"


def run(
    folder: Path, encoder: Path, pairs: pd.DataFrame, judgments: pd.DataFrame, rule: str
) -> list[dict[str, Any]]:
    folder.mkdir()
    judgments.to_parquet(folder / RECORDED, index=False)
    judges = [{"backend": f"replay:{RECORDED}#{name}"} for name in ("ann", "bob")]
    agreement = {"rule": rule, "calibration": 60}
    config = world(folder, encoder, pairs, judges=judges, evolution={"rounds": 2}, agreement=agreement)
    return list(evolve(Settings.from_mapping(config, folder=folder, environment={})).rounds)


def what_the_loop_made(reports: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (
            Path(report["sample"]).name and report["counts"]["mined_by"],
            report["labels"],
            report["snapshot"],
            report["decision"],
            report["verdict"],
        )
        for report in reports[1:]
    ]


@pytest.mark.parametrize("rule", ["unanimous", "reliability"])
@pytest.mark.slow
def test_corrupted_stream_and_test_grades_change_nothing_but_the_results(
    tmp_path: Path, tiny_encoder: Path, rule: str
) -> None:
    """`reliability` learns from the gate's grades, which are not corrupted, and from no other."""
    pairs = make_pairs()
    recorded = pd.concat(pairs[["query_id", "doc_id", "grade"]].assign(judge=name) for name in ("ann", "bob"))
    sealed = (pairs["timestamp"] >= "2024-02-01") & (pairs["query_id"].map(lambda q: query_bucket(q, 5)) != 0)
    sealed |= pairs["query_id"].map(lambda q: query_bucket(q, 5)) == 1
    corrupted = pairs.assign(grade=pairs["grade"].where(~sealed, 3 - pairs["grade"]))

    honest = run(tmp_path / "honest", tiny_encoder, pairs, recorded, rule)
    blind = run(tmp_path / "blind", tiny_encoder, corrupted, recorded, rule)

    assert what_the_loop_made(honest) == what_the_loop_made(blind)
    assert honest[2]["evaluations"] != blind[2]["evaluations"]
    kept = {outcome for report in honest[1:] for outcome in report["counts"]["outcomes"]}
    assert rule in kept
