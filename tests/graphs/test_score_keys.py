"""What scores are named by: all that they depend on, the machine's precision too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_world import world

from serm.benchmarks.collect import collect
from serm.core import Settings
from serm.core.hashing import digest
from serm.graphs import resources as module
from serm.graphs.gate_panel import gate_scores
from serm.graphs.reporting import report_start
from serm.graphs.resources import Resources
from serm.graphs.state import SupervisorState
from serm.graphs.training import LEAKAGE, gate_key, round_folder
from serm.relevance_model.compute import Compute
from serm.relevance_model.crossencoder import CrossEncoderModel
from serm.storage.artifacts import write_json


def opened(folder: Path, encoder: Path, precision: str = "auto", kind: str = "biencoder") -> Resources:
    given = world(folder, encoder)
    given["model"] |= {"precision": precision, "kind": kind}
    return Resources(Settings.from_mapping(given, folder=folder, environment={}))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Says at what precision this machine computes."""
    return lambda found: monkeypatch.setattr(module, "resolve_compute", lambda _: Compute("cpu", found))


def test_where_the_machine_chooses_the_precision_it_is_part_of_the_name(
    tmp_path: Path, tiny_encoder: Path, machine: Any
) -> None:
    names = set()
    for precision in ("float32", "bfloat16"):
        machine(precision)
        with opened(tmp_path, tiny_encoder) as resources:
            names.add(resources.score_key("window", "model"))
    with opened(tmp_path / "other", tiny_encoder, "float32") as resources:
        assert resources.score_key("window", "model") == digest(["window", "model"]), "as it always was"
    assert len(names | {digest(["window", "model"])}) == 3


def test_a_gate_in_another_language_has_other_scores_and_another_model(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, tiny_encoder, "float32") as resources:
        frame = resources.human_graded(1)
        other = frame.assign(language="fr")
        for pairs in (frame, other):
            gate_scores(resources, pairs, resources.models.untrained())
        assert len(list(resources.workspace.scores.iterdir())) == 2
        before = gate_key(resources, 1)
        monkeypatch.setattr(type(resources.dataset), "gate", lambda *_: other)
        assert gate_key(resources, 1) != before


def test_measured_tables_are_collected_whichever_machine_made_them(
    tmp_path: Path, tiny_encoder: Path, machine: Any
) -> None:
    machine("float32")
    run = SimpleNamespace(folder=tmp_path, arm="ours", seed=0, fold="", done=True)
    with opened(tmp_path, tiny_encoder) as resources:
        key = resources.models.untrained()
        write_json(round_folder(resources, 0) / LEAKAGE, {})
        report_start(resources, SupervisorState(round=0, untrained=key, frozen=key, champion=key))
        report = round_folder(resources, 0) / "round.json"
        reports = resources.workspace.reports
        dataset = resources.dataset.id
    assert json.loads(report.read_text(encoding="utf-8"))["precision"] == "float32"
    table = collect([run])
    assert set(table["set"]) == {"early", "late", "evolving"}

    told = json.loads(report.read_text(encoding="utf-8"))
    del told["precision"]  # as earlier versions wrote it
    write_json(report, told)
    for place in ("test early", "test late", "window 0"):
        (reports / f"{digest([dataset, place, key, 'float32'])}.parquet").rename(
            reports / f"{digest([dataset, place, key])}.parquet"
        )
    assert collect([run]).equals(table)


def test_the_gate_ranks_a_cross_encoder_by_what_was_not_fitted_to_it(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    with opened(tmp_path, tiny_encoder, "float32", kind="crossencoder") as resources:
        key, frame = resources.models.untrained(), resources.human_graded(1)
        plain = resources.models.open(key)
        assert isinstance(plain, CrossEncoderModel)
        replace(plain, temperature=0.3).save(resources.models.path("fitted"))
        first, fitted = (gate_scores(resources, frame, name) for name in (key, "fitted"))
        assert np.abs(first.probabilities - fitted.probabilities).max() > 0.01
        np.testing.assert_allclose(first.expected, fitted.expected, atol=1e-4)
