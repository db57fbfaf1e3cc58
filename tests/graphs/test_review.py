"""The run waits for a person where the judges do not agree, and goes on with what the person says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_world import MLFLOW, world

from serm.core import Settings
from serm.core.errors import DataError, WorkspaceError
from serm.core.hashing import unit_interval
from serm.core.records import PairKey
from serm.graphs import (
    EvolutionResult,
    answer_review,
    build_supervisor_graph,
    evolve,
    pending_review,
    run_config,
)
from serm.graphs.events import Event
from serm.relevance_model.registry import ModelRegistry
from serm.storage.judgments import JudgmentStore
from serm.storage.labels import read_labels
from serm.storage.trace import SpanKind, read_spans

LIMIT = 4
JUDGES = [
    {"backend": "simulated:accuracy=0.7,shared=0.3,seed=3", "name": name} for name in ("ann", "bob", "cid")
]


def settings_in(folder: Path, encoder: Path, *, review: bool = True, **sections: Any) -> Settings:
    agreement = {"human_review": review, "review_limit": LIMIT}
    storage = {"mlflow": f"sqlite:///{folder / MLFLOW}", "shared": str(encoder.parent / "shared")}
    config = world(folder, encoder, judges=JUDGES, agreement=agreement, storage=storage, **sections)
    return Settings.from_mapping(config, folder=folder, environment={})


def opinion(key: PairKey) -> int | None:
    """What this world's person says of a pair: the same every time; of every fourth pair nothing."""
    drawn = int(5 * unit_interval("opinion", *key))
    return drawn if drawn < 4 else None


def judged(settings: Settings) -> int:
    with JudgmentStore(f"sqlite:///{settings.workspace_path / 'judgments.sqlite'}") as store:
        return store.totals().judgments


@pytest.fixture(scope="module")
def answered(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path
) -> tuple[Settings, list[EvolutionResult], list[dict[PairKey, int | None]]]:
    """Three rounds, each answered as soon as it waits; what every call of evolve gave, and the answers."""
    settings = settings_in(tmp_path_factory.mktemp("review"), tiny_encoder)
    results, said = [], []
    while (result := evolve(settings)).waiting:
        review = pending_review(settings)
        assert review is not None
        said.append({key: opinion(key) for key in review.open()})
        answer_review(settings, said[-1], reviewer="anna", note="I say so")  # type: ignore[arg-type]
        results.append(result)
    return settings, [*results, result], said


def test_every_window_waits_once_and_the_stream_is_run_to_its_end(answered: Any) -> None:
    settings, results, _ = answered
    assert [result.waiting for result in results] == [LIMIT, LIMIT, LIMIT, 0]
    asks = f"waiting for a person: {LIMIT} pairs, answer them with `serm review CONFIG`"
    assert [result.stop for result in results[:-1]] == [asks] * 3
    assert results[-1].stop == "the stream has no further window after 3"
    assert [report["round"] for report in results[-1].rounds] == [0, 1, 2, 3]
    assert pending_review(settings) is None
    with pytest.raises(WorkspaceError, match="no review waits"):
        answer_review(settings, {}, reviewer="anna")


def test_an_answered_pair_is_a_label_of_the_person_and_a_skipped_one_stays_dropped(answered: Any) -> None:
    settings, results, said = answered
    for report, answers in zip(results[-1].rounds[1:], said, strict=True):
        labels = read_labels(settings.workspace_path / report["labels"]).set_index(["query_id", "doc_id"])
        graded = {key: grade for key, grade in answers.items() if grade is not None}
        assert set(labels.index[labels["outcome"] == "human"]) == set(graded)
        for key, grade in graded.items():
            row = labels.loc[key]
            assert row["grade"] == grade
            assert [row[f"p{value}"] for value in range(4)] == [float(value == grade) for value in range(4)]
            assert len(row["votes"]) == len(JUDGES) + 1
            assert row["votes"][-1] == ["human:anna", grade]
            assert row["rationale"] == "I say so"
        for key in answers.keys() - graded.keys():
            assert labels.loc[key, "outcome"] == "dropped"
            assert pd.isna(labels.loc[key, "grade"])
        trained = pd.read_parquet(settings.workspace_path / report["snapshot"])
        fresh = trained[trained["origin"] == "new"]
        new = set(zip(fresh["query_id"], fresh["doc_id"], strict=True))
        assert new & set(graded)
        assert not new & (answers.keys() - graded.keys())


def test_the_trace_shows_the_person_at_work_and_no_failure(answered: Any) -> None:
    settings, results, said = answered
    trace_id = results[-1].rounds[1]["trace_id"]
    spans = read_spans(settings.workspace_path / "traces.sqlite", trace_id)
    waits, resumed = [item for item in spans if item.kind is SpanKind.NODE and item.name == "review"]
    assert waits.attributes["waits"][0]["pairs"] == LIMIT
    assert not waits.error
    assert resumed.outputs["labels"] in results[-1].rounds[1]["labels"]
    (person,) = [item for item in spans if item.kind is SpanKind.AGENT and item.name == "human"]
    assert person.attributes["policy"] == "anna"
    assert person.attributes["answered"] == sum(grade is not None for grade in said[0].values())


def test_the_report_and_mlflow_have_the_persons_share(answered: Any) -> None:
    settings, results, said = answered
    runs = {run.data.params["round"]: run.data.metrics for run in logged_runs(str(settings.storage.mlflow))}
    for report, answers in zip(results[-1].rounds[1:], said, strict=True):
        graded = [grade for grade in answers.values() if grade is not None]
        panel, human = report["stages"]
        assert (panel["stage"], panel["rule"], panel["pairs"]) == ("panel", "unanimous", 40)
        assert panel["calls"] == 40 * len(JUDGES)
        assert (human["stage"], human["pairs"], human["kept"]) == ("human", LIMIT, len(graded))
        assert human["share"] == len(graded) / 40
        told = report["human"]
        assert (told["asked"], told["answered"], told["skipped"], told["left"]) == (
            LIMIT,
            len(graded),
            LIMIT - len(graded),
            0,
        )
        assert told["dropped"] == 40 - panel["kept"]
        assert report["label_accuracy"]["by_outcome"]["human"]["pairs"] == len(graded)
        assert runs[str(report["round"])]["stages/human/kept"] == len(graded)


def logged_runs(uri: str) -> list[Any]:
    registry = ModelRegistry(uri)
    experiment = registry._client.get_experiment_by_name(registry.name)
    return list(registry._client.search_runs([experiment.experiment_id]))


def test_asked_again_without_answers_it_says_the_same_and_runs_nothing(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    settings = settings_in(tmp_path, tiny_encoder, evolution={"rounds": 1})
    events: list[Event] = []
    first = evolve(settings, on_event=events.append)
    assert events[-1].step == "review"
    before = judged(settings)
    events.clear()
    assert evolve(settings, on_event=events.append) == first
    assert events == []

    review = pending_review(settings)
    assert review is not None
    assert review.about["round"] == 1
    assert {"query", "title", "text", "votes"} <= set(review.pairs.columns)
    assert "grade" not in review.pairs.columns  # nobody shows the person the sealed grade
    one, *rest = review.open()
    with pytest.raises(DataError, match="no pair of this review"):
        answer_review(settings, {("q", "d"): 1}, reviewer="ben")
    answer_review(settings, {one: 2}, reviewer="ben")
    assert evolve(settings, on_event=events.append).waiting == LIMIT - 1
    answer_review(settings, dict.fromkeys(rest, None), reviewer="ben")  # type: ignore[arg-type]
    done = evolve(settings, on_event=events.append)
    assert done.stop == "all 1 rounds are done"
    assert {"mine", "annotate", "judge", "vote"}.isdisjoint(event.step for event in events)
    assert judged(settings) == before
    assert done.rounds[1]["human"]["reviewers"] == {"ben": LIMIT}


def test_a_person_who_skips_everything_leaves_what_a_run_without_review_gives(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    reports = []
    for review in (False, True):
        settings = settings_in(tmp_path / str(review), tiny_encoder, review=review, evolution={"rounds": 1})
        if evolve(settings).waiting:
            waits = pending_review(settings)
            assert waits is not None
            answer_review(settings, dict.fromkeys(waits.open(), None), reviewer="anna")  # type: ignore[arg-type]
        report = evolve(settings).rounds[1]
        labels = pd.read_parquet(settings.workspace_path / report["labels"])
        reports.append((labels.to_json(), report["snapshot"], report["decision"], report["evaluations"]))
    assert reports[0] == reports[1]


def test_whoever_drives_the_graph_by_hand_is_interrupted_and_resumes_with_a_command(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    from langgraph.types import Command

    settings = settings_in(tmp_path, tiny_encoder, evolution={"rounds": 1})
    graph, config = build_supervisor_graph(settings), run_config(settings)
    *_, last = graph.stream({"stop": ""}, config, stream_mode="updates")
    (interrupt,) = last["__interrupt__"]
    assert interrupt.value["pairs"] == LIMIT
    review = pending_review(settings)
    assert review is not None
    assert interrupt.value["review"] == f"reviews/{review.folder.name}"
    one = review.open()[0]
    answer_review(settings, {one: 3}, reviewer="anna")
    steps = [name for update in graph.stream(Command(resume=True), config) for name in update]
    assert steps[:2] == ["review", "snapshot"]  # what nobody has answered stays dropped
    labels = read_labels(
        settings.workspace_path / "labels" / graph.get_state(config).values["labels"] / "labels.parquet"
    )
    assert (labels["outcome"] == "human").sum() == 1
    assert pending_review(settings) is None
