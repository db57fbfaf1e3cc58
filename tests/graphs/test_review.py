"""The run waits for a person where the judges do not agree, and goes on with what the person says."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_world import MLFLOW, registry_of, world

from serm.core import Settings
from serm.core.errors import DataError, WorkspaceError
from serm.core.hashing import unit_interval
from serm.core.records import PairKey
from serm.evals import leakage
from serm.graphs import (
    EvolutionResult,
    answer_review,
    build_supervisor_graph,
    evolve,
    pending_review,
    run_config,
    run_input,
)
from serm.graphs import run as graph_run
from serm.graphs.events import Event
from serm.graphs.waiting import Wait
from serm.storage.labels import read_labels
from serm.storage.trace import SpanKind, read_spans

pytestmark = pytest.mark.slow  # whole runs that wait for a person

LIMIT = 4
NIGHT = 12 * 3600 * 10**9  # ns
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


@dataclass
class Watched:
    """Three rounds, each answered when it waited, and what was seen of it."""

    settings: Settings
    results: list[EvolutionResult]  # of every call that came to a new wait, and of the last one
    said: list[dict[PairKey, int | None]] = field(default_factory=list)  # by round
    in_vain: list[tuple[EvolutionResult, list[Event]]] = field(default_factory=list)
    """Calls in the first round while it waited: without an answer, and with one."""
    resumed: list[Event] = field(default_factory=list)  # of the first round, after its last answer


def run(settings: Settings) -> tuple[EvolutionResult, list[Event]]:
    events: list[Event] = []
    return evolve(settings, on_event=events.append), events


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Watched:
    settings = settings_in(tmp_path_factory.mktemp("review"), tiny_encoder)
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(leakage, "_SHOWN", 1_000)  # every near duplicate is named
        seen = Watched(settings, [evolve(settings)])
        clock = time.time_ns
        changed.setattr(time, "time_ns", lambda: clock() + NIGHT)  # nobody looks at the first review before
        answer_all(settings, seen)
    return seen


def answer_all(settings: Settings, seen: Watched) -> None:
    while seen.results[-1].waiting:
        review = pending_review(settings)
        assert review is not None
        seen.said.append({key: opinion(key) for key in review.open()})
        (one, grade), *rest = seen.said[-1].items()
        if len(seen.said) == 1:
            seen.in_vain.append(run(settings))
        answer_review(settings, {one: grade}, reviewer="anna", note="I say so")
        if len(seen.said) == 1:
            seen.in_vain.append(run(settings))
        answer_review(settings, dict(rest), reviewer="anna", note="I say so")
        result, events = run(settings)
        seen.results.append(result)
        seen.resumed += [event for event in events if event.round == 1]


def near_duplicates(settings: Settings, number: int) -> set[str]:
    found = json.loads((settings.workspace_path / "rounds" / f"{number:03d}" / "leakage.json").read_text())
    queries = {item["training"] for item in found["near_duplicates"]}
    assert len(queries) == found["near_duplicate_queries"], "the report names them all"
    return queries


def test_every_window_waits_once_and_the_stream_is_run_to_its_end(watched: Watched) -> None:
    settings, results = watched.settings, watched.results
    assert [result.waiting for result in results] == [LIMIT, LIMIT, LIMIT, 0]
    assert [result.ended for result in results] == [False, False, False, True]
    asks = f"waiting for a person: {LIMIT} pairs, answer them with `serm review CONFIG`"
    assert [result.stop for result in results[:-1]] == [asks] * 3
    assert results[-1].stop == "the stream has no further window after 3"
    assert [report["round"] for report in results[-1].rounds] == [0, 1, 2, 3]
    assert pending_review(settings) is None
    with pytest.raises(WorkspaceError, match="no review waits"):
        answer_review(settings, {}, reviewer="anna")


def test_an_answered_pair_is_a_label_of_the_person_and_a_skipped_one_stays_dropped(watched: Watched) -> None:
    settings, results, said = watched.settings, watched.results, watched.said
    learnt: set[tuple[str, str]] = set()
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
        near = near_duplicates(settings, int(report["round"]))  # of gate or test queries: never trained on
        assert new & answers.keys() == {key for key in graded if key.query_id not in near}
        learnt |= new & answers.keys()
    assert learnt


def test_the_trace_shows_the_person_at_work_and_no_failure(watched: Watched) -> None:
    settings, results, said = watched.settings, watched.results, watched.said
    trace_id = results[-1].rounds[1]["trace_id"]
    spans = read_spans(settings.workspace_path / "traces.sqlite", trace_id)
    waits, resumed = [item for item in spans if item.kind is SpanKind.NODE and item.name == "review"]
    assert waits.attributes["waits"][0]["pairs"] == LIMIT
    assert not waits.error
    assert resumed.outputs["labels"] in results[-1].rounds[1]["labels"]
    (person,) = [item for item in spans if item.kind is SpanKind.AGENT and item.name == "human"]
    assert person.attributes["policy"] == "anna"
    assert person.attributes["answered"] == sum(grade is not None for grade in said[0].values())


def test_the_report_and_mlflow_have_the_persons_share(watched: Watched) -> None:
    settings, results, said = watched.settings, watched.results, watched.said
    runs = {run.data.params["round"]: run.data.metrics for run in logged_runs(settings)}
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
        of_person = report["label_accuracy"]["by_outcome"].get("human", {"pairs": 0})
        assert of_person["pairs"] == len(graded)  # a person may skip all that a round asks
        assert runs[str(report["round"])]["stages/human/kept"] == len(graded)


def logged_runs(settings: Settings) -> list[Any]:
    registry = registry_of(settings)
    experiment = registry._client.get_experiment_by_name(registry.name)
    return list(registry._client.search_runs([experiment.experiment_id]))


def test_the_time_that_a_person_takes_is_none_of_a_rounds_own(watched: Watched) -> None:
    seconds = [report["seconds"] for report in watched.results[-1].rounds[1:]]
    assert len(seconds) == 3
    assert all(0 < took < 3600 for took in seconds)


def test_asked_again_without_answers_it_says_the_same_and_runs_nothing(watched: Watched) -> None:
    (nothing, first), (one, second) = watched.in_vain
    assert nothing == watched.results[0]
    assert (one.waiting, one.rounds) == (LIMIT - 1, nothing.rounds)
    assert one.stop.startswith(f"waiting for a person: {LIMIT - 1} pairs")
    assert first == second == []
    assert [event.step for event in watched.resumed][:2] == ["review", "snapshot"]
    assert {"mine", "annotate", "judge", "vote"}.isdisjoint(event.step for event in watched.resumed)


def test_what_nobody_was_asked_about_is_as_without_a_review(
    watched: Watched, tmp_path: Path, tiny_encoder: Path
) -> None:
    settings = settings_in(tmp_path, tiny_encoder, review=False, evolution={"rounds": 1})
    without = evolve(settings)
    assert without.waiting == 0
    tables = []
    for folder, report in (
        (settings.workspace_path, without.rounds[1]),
        (watched.settings.workspace_path, watched.results[-1].rounds[1]),
    ):
        labels = pd.read_parquet(folder / report["labels"])
        asked = [PairKey(*key) in watched.said[0] for key in labels[["query_id", "doc_id"]].to_numpy()]
        tables.append(labels[~pd.Series(asked)].reset_index(drop=True))
    assert len(tables[0]) == 40 - LIMIT
    pd.testing.assert_frame_equal(*tables)


def test_whoever_drives_the_graph_by_hand_is_interrupted_and_resumes_with_a_command(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langgraph.types import Command

    settings = settings_in(tmp_path, tiny_encoder, evolution={"rounds": 1})
    graph, config = build_supervisor_graph(settings), run_config(settings)
    *_, last = graph.stream({"stop": ""}, config, stream_mode="updates")
    (interrupt,) = last["__interrupt__"]
    assert interrupt.value["pairs"] == LIMIT
    review = pending_review(settings)
    assert review is not None
    assert {"query", "title", "text", "votes"} <= set(review.pairs.columns)
    assert "grade" not in review.pairs.columns  # nobody shows the person the sealed grade
    with pytest.raises(DataError, match="no pair of this review"):
        answer_review(settings, {("q", "d"): 1}, reviewer="ben")
    assert interrupt.value["review"] == f"reviews/{review.folder.name}"
    one = review.open()[0]
    answer_review(settings, {one: 3}, reviewer="anna")
    assert run_input(graph, settings) is None  # others wait still, and it would ask again
    monkeypatch.setattr(graph_run, "what_waits", lambda *_: Wait())
    assert run_input(graph, settings) == Command(resume=True)
    steps = [name for update in graph.stream(Command(resume=True), config) for name in update]
    assert steps[:2] == ["review", "snapshot"]  # what nobody has answered stays dropped
    labels = read_labels(
        settings.workspace_path / "labels" / graph.get_state(config).values["labels"] / "labels.parquet"
    )
    assert (labels["outcome"] == "human").sum() == 1
    assert pending_review(settings) is None
