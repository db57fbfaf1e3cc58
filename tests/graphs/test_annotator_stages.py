"""The annotator's stages inside the loop: calibration on gate pairs, round after round, and the debate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from small_world import make_pairs, world

from serm.core import Settings
from serm.core.hashing import query_bucket
from serm.graphs.annotator import annotator_graph
from serm.graphs.resources import Resources
from serm.storage.artifacts import find_or_create
from serm.storage.labels import read_labels

SAID = '{"grade": 2, "reason": "so it is"}'
SCRIPT = {
    "agents": {
        "firm": [SAID],
        "soft": [{"when": "did not agree", "text": SAID}, '{"grade": 1, "reason": "maybe"}'],
    }
}


def resources_in(folder: Path, encoder: Path, **sections: Any) -> Resources:
    config = world(folder, encoder, **sections)
    return Resources(Settings.from_mapping(config, folder=folder, environment={}))


def annotated(resources: Resources, number: int, pairs: int = 40) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Labels and annotation.json of a round's first pairs, without any mining."""
    frame = resources.pairs(number).head(pairs)
    name = f"sample-{number}-{pairs}"
    find_or_create(resources.workspace.samples, name, lambda path: frame.to_parquet(path / "sample.parquet"))
    labels = annotator_graph(resources).invoke({"round": number, "sample": name})["labels"]
    folder = resources.workspace.labels / labels
    told = json.loads((folder / "annotation.json").read_text(encoding="utf-8"))
    return read_labels(folder / "labels.parquet"), told


def test_a_round_learns_from_the_gate_and_a_later_one_asks_for_its_new_queries_alone(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    agreement = {"rule": "reliability", "calibration": 1_000, "keep": 0.9}
    with resources_in(tmp_path, tiny_encoder, agreement=agreement) as resources:
        gates = [resources.dataset.gate(number - 1) for number in (1, 2)]
        told = []
        for number in (1, 2):
            labels, counts = annotated(resources, number)
            told.append(counts)
            assert set(labels["outcome"]) <= {"reliability", "dropped"}
            assert set(labels["query_id"].map(lambda query: query_bucket(query, 5))) <= {2, 3, 4}
        assert [counts["calibration"]["pairs"] for counts in told] == [len(gate) for gate in gates]
        assert len(gates[1]) > len(gates[0])
        judged = resources.judgments.totals()
        assert judged.judgments == 3 * (len(gates[1]) + 80), "each gate pair was graded once by each judge"
        assert told[0]["calibration"]["reliability"] != told[1]["calibration"]["reliability"]
        models = sorted(resources.workspace.reliability.iterdir())
        assert len(models) == 2


def test_the_labels_name_the_model_that_they_were_weighed_with(tmp_path: Path, tiny_encoder: Path) -> None:
    """Other gate grades, the same votes: another rule, other labels under another name."""
    pairs = make_pairs()
    judges = [{"backend": f"replay:said.parquet#{name}"} for name in ("ann", "bob")]
    recorded = [pairs[["query_id", "doc_id", "grade"]].assign(judge=name) for name in ("ann", "bob")]
    gate = pairs["query_id"].map(lambda query: query_bucket(query, 5)) == 0
    found = []
    for name, grade in (
        ("right", pairs["grade"]),
        ("wrong", pairs["grade"].where(~gate, 3 - pairs["grade"])),
    ):
        folder = tmp_path / name
        folder.mkdir()
        pd.concat(recorded).to_parquet(folder / "said.parquet")
        agreement = {"rule": "reliability", "keep": 1.0}
        given = {"judges": judges, "agreement": agreement}
        with resources_in(folder, tiny_encoder, pairs=pairs.assign(grade=grade), **given) as resources:
            found.append(annotated(resources, 1)[0])
    human = found[0].merge(pairs, on=["query_id", "doc_id"], suffixes=("", "_human"))["grade_human"]
    assert (found[0]["grade"] == human).all()
    assert (found[1]["grade"] == 3 - human).all()


@pytest.mark.parametrize("debate", [True, False])
def test_a_judge_that_gives_in_makes_labels_of_dropped_pairs(
    tmp_path: Path, tiny_encoder: Path, debate: bool
) -> None:
    (tmp_path / "script.yaml").write_text(yaml.safe_dump(SCRIPT), encoding="utf-8")
    judges = [{"backend": f"scripted:script.yaml#{name}"} for name in ("firm", "soft")]
    agreement = {"debate": debate}
    with resources_in(tmp_path, tiny_encoder, judges=judges, agreement=agreement) as resources:
        labels, told = annotated(resources, 1, pairs=10)
        again, same = annotated(resources, 1, pairs=10)
    assert set(labels["outcome"]) == {"debate" if debate else "dropped"}
    assert set(labels["calls"]) == {4 if debate else 2}
    if debate:
        assert (told["debate"]["pairs"], told["debate"]["kept"], told["debate"]["calls"]) == (10, 10, 20)
        assert set(labels["rationale"]) == {"so it is"}
    else:
        assert told["debate"] is None
    pd.testing.assert_frame_equal(labels, again)
    assert told == same


def test_a_calibration_that_cannot_be_falls_back_and_says_so(tmp_path: Path, tiny_encoder: Path) -> None:
    agreement = {"rule": "reliability", "calibration": 5}
    with resources_in(tmp_path, tiny_encoder, agreement=agreement) as resources:
        labels, told = annotated(resources, 1)
    assert set(labels["outcome"]) <= {"unanimous", "dropped"}
    (jury,) = told["calibration"]["juries"]
    assert (jury["rule"], jury["pairs"]) == ("unanimous", 5)
    assert "too few" in jury["why"]
