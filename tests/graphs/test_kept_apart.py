"""No model learns from a query that reads like one of the gate or of a test, the first model included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_world import distinct_pairs, make_pairs, world

from serm.core import Settings
from serm.core.errors import DataError
from serm.core.hashing import digest, query_bucket
from serm.evals.leakage import kept_apart, word_set
from serm.graphs import evolve
from serm.graphs.resources import Resources
from serm.graphs.training import gate_key, train_seed_model

GATE, TEST = 0, 1  # buckets of small_world


def of(frame: pd.DataFrame, month: int, *buckets: int) -> list[str]:
    ids = [name for name in frame["query_id"].unique() if name.startswith(f"q{month}-")]
    return [name for name in ids if query_bucket(name, 5) in buckets]


def reads_like(frame: pd.DataFrame, query_id: str, other: str) -> None:
    text = frame.loc[frame["query_id"] == other, "query"].iloc[0]
    frame.loc[frame["query_id"] == query_id, "query"] = ", ".join(reversed(text.upper().split()))


def settings_over(frame: pd.DataFrame, folder: Path, encoder: Path, **sections: Any) -> Settings:
    config = world(folder, encoder, frame, **sections)
    return Settings.from_mapping(config, folder=folder, environment={})


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[pd.DataFrame, str]]:
    """Instead of training: the rows and the inputs that the seed model would have been made of."""
    asked: list[tuple[pd.DataFrame, str]] = []

    def instead(self: object, start: str, snapshot: pd.DataFrame, *_: object, **given: Any) -> str:
        asked.append((snapshot, given["inputs"]))
        return "seed model"

    monkeypatch.setattr("serm.relevance_model.versions.ModelVersions.trained", instead)
    return asked


def test_the_seed_model_sees_no_query_that_reads_like_a_held_out_one(
    tmp_path: Path, tiny_encoder: Path, trained: list[tuple[pd.DataFrame, str]]
) -> None:
    frame = distinct_pairs()
    seed = of(frame, 0, 2, 3, 4)
    held_out = [of(frame, 0, GATE)[0], of(frame, 3, TEST)[0], of(frame, 3, GATE)[0]]
    for ours, theirs in zip(seed, held_out, strict=False):
        reads_like(frame, ours, theirs)
    with Resources(settings_over(frame, tmp_path, tiny_encoder)) as resources:
        train_seed_model(resources, "untrained")
        leakage = json.loads((resources.workspace.rounds / "000" / "leakage.json").read_text())
        plain = digest([resources.dataset.seed_id, gate_key(resources, 0)])
    [(rows, inputs)] = trained
    assert set(rows["query_id"]) == set(seed[3:])
    assert inputs != plain, "a model of other rows has another name"
    assert (leakage["near_duplicate_queries"], leakage["near_duplicate_rows"]) == (3, 24)
    found = {(item["training"], item["held_out"], item["set"]) for item in leakage["near_duplicates"]}
    assert found == set(zip(seed, held_out, ("gate", "test late", "windows to come"), strict=False))


def test_where_nothing_reads_alike_the_seed_model_is_the_one_it_was(
    tmp_path: Path, tiny_encoder: Path, trained: list[tuple[pd.DataFrame, str]]
) -> None:
    frame = distinct_pairs()
    with Resources(settings_over(frame, tmp_path, tiny_encoder)) as resources:
        train_seed_model(resources, "untrained")
        whole, plain = resources.dataset.seed(), digest([resources.dataset.seed_id, gate_key(resources, 0)])
    [(rows, inputs)] = trained
    assert inputs == plain
    pd.testing.assert_frame_equal(rows[list(whole.columns)], whole)


def test_a_seed_of_held_out_queries_alone_is_refused_with_what_to_do(
    tmp_path: Path, tiny_encoder: Path, trained: list[tuple[pd.DataFrame, str]]
) -> None:
    frame = distinct_pairs()
    gate = of(frame, 0, GATE)[0]
    for ours in of(frame, 0, 2, 3, 4):
        reads_like(frame, ours, gate)
    with (
        Resources(settings_over(frame, tmp_path, tiny_encoder)) as resources,
        pytest.raises(DataError, match=f"like '{gate}' of `gate`: there is nothing to learn from") as raised,
    ):
        train_seed_model(resources, "untrained")
    assert raised.value.remedy
    assert not trained


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_of_windows_to_come_the_queries_alone_are_looked_at(
    tmp_path: Path, tiny_encoder: Path, share: float
) -> None:
    frame = distinct_pairs()
    gate = {"resamples": 200, "judged_share": share}
    with Resources(settings_over(frame, tmp_path, tiny_encoder, gate=gate)) as resources:
        data, kept = resources.dataset, set[str]()
        for number in range(4):
            held_out = resources.held_out(number)
            assert not any("grade" in item for item in held_out.values())
            assert set(held_out["gate"]["query_id"]) == set(data.gate(number - 1)["query_id"])
            to_come = held_out.get("windows to come", pd.DataFrame(columns=["query_id", "query"]))
            assert list(to_come.columns) == ["query_id", "query"]
            judged = set(data.judged_only(9)["query_id"]) if share else set()
            opened = set(held_out["gate"]["query_id"]) | set(
                held_out["judged only"]["query_id"] if share else ()
            )
            assert set(to_come["query_id"]) == (set(data.gate(9)["query_id"]) | judged) - opened
            kept |= set(to_come["query_id"])
        assert kept
        assert to_come.empty, "in the last round every gate is open"


def test_a_stream_query_that_a_later_gate_will_ask_is_not_trained_on(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    frame = distinct_pairs()
    stream, gate = of(frame, 1, 2, 3, 4), of(frame, 3, GATE)[0]
    reads_like(frame, stream[0], gate)
    with Resources(settings_over(frame, tmp_path, tiny_encoder)) as resources:
        [rows], report = kept_apart([resources.pairs(1)], resources.held_out(1))
    assert set(rows["query_id"]) == set(stream[1:])
    assert report.shared_documents
    assert report.to_json()["near_duplicates"] == [
        {"training": stream[0], "held_out": gate, "set": "windows to come"}
    ]


@pytest.mark.slow
def test_no_training_set_of_a_run_reads_like_any_gate_or_test(tmp_path: Path, tiny_encoder: Path) -> None:
    frame = make_pairs(queries_per_month=12)  # of 48 texts: many of them stand under several ids
    settings = settings_over(frame, tmp_path, tiny_encoder, gate={"enabled": False})
    rounds = evolve(settings, rounds=2).rounds
    samples = [pd.read_parquet(path) for path in settings.workspace_path.glob("samples/*/sample.parquet")]
    # small_world measures no test query of month 2.
    ids = [name for month in (0, 1, 3) for name in of(frame, month, GATE, TEST)] + of(frame, 2, GATE)
    held_out = {word_set(text) for text in frame.loc[frame["query_id"].isin(ids), "query"]}
    texts = frame.drop_duplicates("query_id").set_index("query_id")["query"]
    asked = {word_set(texts[query]) for sample in samples for query in sample["query_id"]}
    assert asked
    assert not held_out & asked, "no label is paid for that nothing may learn from"
    for report in rounds[1:]:
        rows = pd.read_parquet(settings.workspace_path / report["snapshot"])
        assert len(rows)
        assert not held_out & {word_set(text) for text in rows["query"]}
    assert rounds[0]["leakage"]["near_duplicate_queries"] > 0, "the seed's report tells of it"
