"""`serm trace --pair` tells who nominated a pair and why, what each judge said, and what became of it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from small_data import MakeConfig

from serm.cli.main import run
from serm.cli.pair_facts import PairFacts, RoundFacts, Score
from serm.cli.pair_story import story
from serm.core import Settings
from serm.core.columns import KEY
from serm.core.records import Failure, FailureKind, Judgment, Label, Outcome, PairKey
from serm.relevance_model.loading import open_base
from serm.storage.ingest import ingest
from serm.storage.judgments import JudgmentStore
from serm.storage.labels import write_labels
from serm.storage.workspace import Workspace

QUERY, DOC = "stream-1", "stream-1-2"
OTHER = "stream-2-0"

ANN = Judgment(
    query_id=QUERY,
    doc_id=DOC,
    judge="ann",
    grade=2,
    failure=None,
    distribution=(0.0, 0.1, 0.8, 0.1),
    paths=(2, 2, 3),
    rationale="The shop sells the item, but not in the quality asked for.",
    tokens_in=400,
    tokens_out=20,
    cost=0.01,
    latency=1.5,
    requests=3,
    prompt_hash="p",
    model="gpt",
    revision="1",
    simulated=False,
    cache_key="k1",
)
BEN = replace(
    ANN, judge="ben", paths=(2,), distribution=None, rationale="", simulated=True, requests=0, cache_key="k2"
)
EVE = replace(
    BEN,
    judge="eve",
    grade=None,
    paths=(None,),
    failure=Failure(FailureKind.TIMEOUT, "no answer in 60 s"),
    simulated=False,
    cache_key="k3",
)


def fill(workspace: Workspace) -> None:
    """What one round leaves: two agents' nominations, sample, judgments, labels, snapshot, report."""
    pair = {"query_id": QUERY, "doc_id": DOC}
    other = {"query_id": "stream-2", "doc_id": OTHER, "agent": "drift", "score": 0.02, "reason": "new"}
    said = {
        "uncertainty": [pair | {"agent": "uncertainty", "score": 1.3, "reason": "unsure of the grade"}],
        "drift": [pair | {"agent": "drift", "score": 0.02, "reason": "a new region: items"}, other],
    }
    for agent, rows in said.items():
        folder = workspace.samples / f"s1-{agent}"
        folder.mkdir()
        pd.DataFrame(rows).to_parquet(folder / "nominations.parquet")
    (workspace.samples / "s1").mkdir()
    sample = pair | {"agent": "drift", "agents": "uncertainty,drift", "reason": "..."}
    pd.DataFrame([sample]).to_parquet(workspace.samples / "s1" / "sample.parquet")
    with JudgmentStore(workspace.judgments_url) as store:
        store.put([ANN, BEN, EVE])
    label = Label(
        QUERY,
        DOC,
        grade=2,
        distribution=(0.0, 0.0, 1.0, 0.0),
        outcome=Outcome.UNANIMOUS,
        votes=(("ann", 2), ("ben", 2), ("eve", None)),
    )
    (workspace.labels / "l1").mkdir()
    write_labels([label], workspace.labels / "l1" / "labels.parquet")
    row = {"query_id": QUERY, "doc_id": DOC, "grade": 2, "p0": 0.0, "p1": 0.0, "p2": 1.0, "p3": 0.0}
    pd.DataFrame([row | {"origin": "new", "round": 1}]).to_parquet(workspace.snapshots / "n1.parquet")
    report: dict[str, Any] = {
        "round": 1,
        "trace_id": "t1",
        "window": {"name": "2024-01-01"},
        "models": {"champion_before": "m0", "challenger": "m1", "champion_after": "m1"},
        "verdict": "promoted",
        "nominations": {
            agent: f"samples/s1-{agent}/nominations.parquet" for agent in ("uncertainty", "drift")
        },
        "sample": "samples/s1/sample.parquet",
        "labels": "labels/l1/labels.parquet",
        "snapshot": "snapshots/n1.parquet",
    }
    (workspace.rounds / "001").mkdir()
    (workspace.rounds / "001" / "round.json").write_text(json.dumps(report), encoding="utf-8")


@pytest.fixture
def config(make_config: MakeConfig) -> Path:
    return made(make_config())


def made(path: Path) -> Path:
    """Fill the workspace of a config."""
    settings = Settings.from_yaml(path, environment={})
    with Workspace.open(settings) as workspace:
        ingest(settings, workspace)
        fill(workspace)
    return path


def told(config: Path, capsys: pytest.CaptureFixture[str], *pair: str) -> str:
    assert run(["trace", str(config), "--pair", *pair]) == 0
    return capsys.readouterr().out


def test_the_data_set_in_use_is_told_of_and_not_the_one_that_was_touched_last(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = config.parent / "work" / "data"
    (current,) = [path for path in data.iterdir() if path.is_dir()]
    shutil.copytree(current, data / "other")
    pq.write_table(pq.read_table(current / "seed.parquet").slice(0, 0), data / "other" / "seed.parquet")
    os.utime(data / "other" / "dataset.json")
    (key, doc), *_ = pq.read_table(current / "seed.parquet").select(list(KEY)).to_pandas().to_numpy().tolist()
    assert "seed, with its human grade" in told(config, capsys, key, doc)


def test_a_pair_that_the_panel_alone_grades_for_the_gate_is_told_so(
    make_config: MakeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    config = made(make_config(gate={"judged_share": 0.5}))
    (file,) = (config.parent / "work" / "data").glob("*/judged.parquet")
    (key, doc), *_ = pq.read_table(file).select(list(KEY)).to_pandas().to_numpy().tolist()
    assert "gate, graded by the panel alone" in told(config, capsys, key, doc)


def test_the_whole_story_of_a_pair_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(config, capsys, QUERY, DOC)
    assert "where to buy item 1 of stream" in text
    assert "the shop sells item 1 in quality 2" in text
    assert "stream, window 2024-01-01 (round 1)" in text
    assert "nominated    by uncertainty, score 1.300: unsure of the grade" in text
    assert "nominated    by drift, score 0.020: a new region: items" in text
    assert "for the judges, out of the share of drift" in text
    assert "ann: grade 2 (paths: 2, 2, 3), P 0:0.00 1:0.10 2:0.80 3:0.10; 3 calls, 420 tokens, 1.5 s" in text
    assert "“The shop sells the item, but not in the quality asked for.”" in text
    assert "ben: grade 2  SIMULATED" in text
    assert "eve: failed, timeout" in text
    assert "“no answer in 60 s”" in text
    assert "unanimous: grade 2, vote shares 0:0.00 1:0.00 2:1.00 3:0.00" in text
    assert "as a new label, grade 2, target 0:0.00 1:0.00 2:1.00 3:0.00, in snapshots/n1.parquet" in text


def test_a_nominated_pair_that_was_not_chosen_is_told_so(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = told(config, capsys, "stream-2", OTHER)
    assert "by drift" in text
    assert "no: the budget went to other pairs" in text
    assert "judge" not in text


def test_a_pair_that_nobody_touched_is_told_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(config, capsys, "gate-3", "gate-3-0")
    assert "gate: never mined, never trained on" in text
    assert "No agent nominated it, no judge saw it, and no training set holds it." in text


def test_a_human_grade_is_not_part_of_the_story(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "grade" not in told(config, capsys, "test-3", "test-3-2").replace("human grade", "")


def test_a_pair_that_is_nowhere_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", str(config), "--pair", "no", "such"]) == 3
    assert "is nowhere in" in capsys.readouterr().err


def test_telling_a_story_writes_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = config.parent / "work"
    before = sorted(path for path in work.rglob("*") if not path.name.endswith(("-wal", "-shm")))
    told(config, capsys, QUERY, DOC)
    assert before == sorted(path for path in work.rglob("*") if not path.name.endswith(("-wal", "-shm")))


def facts(verdict: str, challenger: str = "m1") -> PairFacts:
    report = {
        "round": 2,
        "window": {"name": "w"},
        "verdict": verdict,
        "models": {"champion_before": "m0", "challenger": challenger},
        "snapshot": "snapshots/n.parquet",
    }
    row = {"grade": 3, "origin": "earlier", "p0": None, "p1": None, "p2": None, "p3": None}
    one = RoundFacts(
        report,
        training=row,
        before=Score("m0", 1.0, (0.4, 0.3, 0.2, 0.1)),
        after=Score("m1", 2.25, (0.1, 0.1, 0.2, 0.6)),
    )
    return PairFacts(PairKey("q", "d"), None, (), (one,))


def test_scores_before_and_after_are_told_with_the_change_and_the_verdict() -> None:
    text = "\n".join(line.plain for line in story(facts("promoted")))
    assert "score before 1.00  P 0:0.40 1:0.30 2:0.20 3:0.10  by m0" in text
    assert "score after  2.25, +1.25  P 0:0.10 1:0.10 2:0.20 3:0.60  by m1 (promoted)" in text
    assert "as a label of an earlier round, grade 3, in snapshots/n.parquet" in text
    rolled_back = "\n".join(line.plain for line in story(facts("rolled_back")))
    assert "(rolled back: the score before stays in force)" in rolled_back
    untrained = "\n".join(line.plain for line in story(facts("rolled_back", challenger="m0")))
    assert "(nothing was trained)" in untrained


def test_scores_come_from_the_saved_models(
    make_config: MakeConfig, tiny_encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = made(make_config(model={"base": str(tiny_encoder), "max_length": 32, "precision": "float32"}))
    settings = Settings.from_yaml(config, environment={})
    model = open_base(settings.model, None)
    model.save(settings.workspace_path / "models" / "m0")
    text = told(config, capsys, QUERY, DOC)
    document = "item 1\nthe shop sells item 1 in quality 2"
    expected = model.score(["where to buy item 1 of stream"], [document], ["en"]).expected[0]
    assert f"score before {expected:.2f}" in text
    assert "by m0" in text
    assert "score after" not in text  # the weights of m1 are not there
