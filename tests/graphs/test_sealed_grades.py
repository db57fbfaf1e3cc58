"""Nobody reads the grades of the stream and of the tests before the gate has decided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from small_world import make_pairs, world

from serm.core import Settings
from serm.core.hashing import query_bucket
from serm.graphs import evolve

RECORDED = "judgments.parquet"


def run(folder: Path, encoder: Path, pairs: pd.DataFrame, judgments: pd.DataFrame) -> list[dict[str, Any]]:
    folder.mkdir()
    judgments.to_parquet(folder / RECORDED, index=False)
    judges = [{"backend": f"replay:{RECORDED}#{name}"} for name in ("ann", "bob")]
    config = world(folder, encoder, pairs, judges=judges, evolution={"rounds": 2})
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


def test_corrupted_stream_and_test_grades_change_nothing_but_the_results(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    pairs = make_pairs()
    recorded = pd.concat(pairs[["query_id", "doc_id", "grade"]].assign(judge=name) for name in ("ann", "bob"))
    sealed = (pairs["timestamp"] >= "2024-02-01") & (pairs["query_id"].map(lambda q: query_bucket(q, 5)) != 0)
    sealed |= pairs["query_id"].map(lambda q: query_bucket(q, 5)) == 1
    corrupted = pairs.assign(grade=pairs["grade"].where(~sealed, 3 - pairs["grade"]))

    honest = run(tmp_path / "honest", tiny_encoder, pairs, recorded)
    blind = run(tmp_path / "blind", tiny_encoder, corrupted, recorded)

    assert what_the_loop_made(honest) == what_the_loop_made(blind)
    assert honest[2]["evaluations"] != blind[2]["evaluations"]
