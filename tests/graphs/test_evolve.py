"""The whole loop on a small world, with a tiny encoder and simulated judges."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_world import make_pairs, registry_of, world

from serm.core import Settings
from serm.core.errors import WorkspaceError, WorkspaceLockedError
from serm.graphs import (
    EvolutionResult,
    build_supervisor_graph,
    evolve,
    open_supervisor_graph,
    read_trace,
    run_config,
    run_input,
)
from serm.graphs.events import Event
from serm.relevance_model.registry import ModelRegistry


def settings_in(folder: Path, encoder: Path, **sections: Any) -> Settings:
    return Settings.from_mapping(world(folder, encoder, **sections), folder=folder, environment={})


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path
) -> tuple[Settings, EvolutionResult, list[Event]]:
    """Three rounds, run to the end once for this module."""
    settings = settings_in(tmp_path_factory.mktemp("loop"), tiny_encoder, storage={})
    events: list[Event] = []
    return settings, evolve(settings, on_event=events.append), events


def test_every_window_becomes_a_round_with_a_report(finished: Any) -> None:
    settings, result, events = finished
    assert [report["round"] for report in result.rounds] == [0, 1, 2, 3]
    assert [report["window"]["name"] for report in result.rounds[1:]] == ["m2", "m3", "m4"]
    assert result.stop == "the stream has no further window after 3"
    assert {event.step for event in events} >= {
        "prepare",
        "mine",
        "drift",
        "judge",
        "train",
        "gate",
        "evaluate",
    }
    for report in result.rounds[1:]:
        assert report["counts"]["mined"] == settings.budget.pairs_per_round
        assert sum(report["counts"]["outcomes"].values()) == report["counts"]["mined"]
        assert report["verdict"] == ("promoted" if report["decision"]["promoted"] else "rolled_back")
        assert report["simulated_judges"] == ["ann", "bob", "cid"]
        assert 0.8 < report["label_accuracy"]["accuracy"] <= 1
        assert set(report["evaluations"]) >= {"early", "late"}
        assert "ndcg@4" in report["evaluations"]["early"]["differences"]["champion - frozen"]


def test_the_next_window_is_measured_before_it_is_used(finished: Any) -> None:
    _, result, _ = finished
    assert ["evolving" in report["evaluations"] for report in result.rounds] == [True, True, True, False]


def test_champion_and_challenger_stand_in_the_registry(finished: Any) -> None:
    settings, result, _ = finished
    registry = ModelRegistry(f"sqlite:///{settings.workspace_path / 'mlflow.db'}")
    last = result.rounds[-1]
    champion, challenger = registry.alias("champion"), registry.alias("challenger")
    assert champion is not None
    assert champion[1] == result.champion == last["models"]["champion_after"]
    assert challenger is not None
    assert challenger[1] == last["models"]["challenger"]
    assert len(registry.versions()) == len({item.model_id for item in registry.versions()})


def test_run_again_does_nothing_and_says_that_it_is_done(finished: Any) -> None:
    settings, result, _ = finished
    events: list[Event] = []
    again = evolve(settings, on_event=events.append)
    assert again == result
    assert [event.step for event in events] == ["prepare"]


@pytest.mark.slow
def test_a_longer_run_goes_on_where_a_shorter_one_ended(tmp_path: Path, tiny_encoder: Path) -> None:
    settings = settings_in(tmp_path, tiny_encoder)
    assert evolve(settings, rounds=1).stop == "all 1 rounds are done"
    events: list[Event] = []
    result = evolve(settings, rounds=2, on_event=events.append)
    assert [report["round"] for report in result.rounds] == [0, 1, 2]
    assert {event.round for event in events if event.step == "mine"} == {2}


def test_no_pair_is_mined_twice_and_no_gate_or_test_query_is_trained_on(finished: Any) -> None:
    settings, result, _ = finished
    folder = settings.workspace_path
    samples = pd.concat([pd.read_parquet(folder / report["sample"]) for report in result.rounds[1:]])
    assert not samples.duplicated(["query_id", "doc_id"]).any()
    assert "grade" not in samples
    from serm.core.hashing import query_bucket

    for report in result.rounds[1:]:
        trained = pd.read_parquet(folder / report["snapshot"])
        assert set(trained["query_id"].map(lambda query: query_bucket(query, 5))) <= {2, 3, 4}


def test_each_round_replays_other_queries_of_the_seed(finished: Any) -> None:
    settings, result, _ = finished
    replayed = []
    for report in result.rounds[1:]:
        trained = pd.read_parquet(settings.workspace_path / report["snapshot"])
        replayed.append(frozenset(trained.loc[trained["origin"] == "seed", "query_id"]))
    assert all(replayed)
    assert len(set(replayed)) == len(replayed)


def test_the_graph_can_be_streamed_drawn_and_travelled_in_time(tmp_path: Path, tiny_encoder: Path) -> None:
    settings = settings_in(tmp_path, tiny_encoder, evolution={"rounds": 1})
    config = run_config(settings)
    with open_supervisor_graph(settings) as graph:
        begin = run_input(graph, settings)
        assert begin == {"stop": ""}
        steps = [name for update in graph.stream(begin, config, stream_mode="updates") for name in update]
        assert steps[:4] == ["prepare", "open_window", "mine", "annotate"]
        assert "roll_back" in graph.get_graph().draw_mermaid()
        assert "stop" in graph.get_input_jsonschema()["properties"]
        history = list(graph.get_state_history(config))
        before_gate = next(state for state in history if state.next == ("gate",))
        assert before_gate.values["challenger"]
        with pytest.raises(WorkspaceLockedError, match="this process itself already works in"):
            evolve(settings)
    assert [report["round"] for report in evolve(settings).rounds] == [0, 1]  # the block has freed it
    spans = read_trace(settings)
    assert {"mine", "annotate", "gate"} <= {item.name for item in spans}
    assert read_trace(settings, 1) == spans
    with pytest.raises(WorkspaceError, match=r"round 7 has no trace .* The rounds that were run: 0, 1"):
        read_trace(settings, 7)


def test_a_graph_that_was_stopped_on_its_way_goes_on_without_an_input(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    settings = settings_in(tmp_path, tiny_encoder, evolution={"rounds": 1})
    with open_supervisor_graph(settings) as graph:
        for update in graph.stream({"stop": ""}, run_config(settings), stream_mode="updates"):
            if "mine" in update:
                break
    graph = build_supervisor_graph(settings)
    assert run_input(graph, settings) is None
    rest = [
        name for update in graph.stream(None, run_config(settings), stream_mode="updates") for name in update
    ]
    assert rest[0] in {"mine", "annotate"}  # the step whose checkpoint had not been written is taken again
    assert "prepare" not in rest
    assert run_input(graph, settings) == {"stop": ""}


def test_with_the_gate_off_every_challenger_becomes_champion(tmp_path: Path, tiny_encoder: Path) -> None:
    settings = settings_in(tmp_path, tiny_encoder, gate={"enabled": False}, evolution={"rounds": 2})
    result = evolve(settings)
    _, first, second = result.rounds
    assert first["verdict"] == second["verdict"] == "promoted"
    assert first["models"]["champion_before"] == first["models"]["frozen"]
    assert second["models"]["champion_before"] == first["models"]["challenger"]
    assert result.champion == second["models"]["challenger"]
    bearer = registry_of(settings).alias("champion")
    assert bearer is not None
    assert bearer[1] == result.champion


def test_a_model_that_a_person_promotes_is_what_the_next_round_starts_from(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    settings = settings_in(tmp_path, tiny_encoder, gate={"enabled": False})
    first = evolve(settings, rounds=1)
    frozen = first.rounds[1]["models"]["frozen"]
    registry = registry_of(settings)
    version = registry.version_of(frozen)
    assert version is not None
    registry.set_alias("champion", version)
    assert evolve(settings, rounds=2).rounds[2]["models"]["champion_before"] == frozen


def test_a_base_model_is_found_beside_its_config(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "models" / "tiny")
    monkeypatch.chdir("/")
    model = {"base": "models/tiny", "max_length": 32, "device": "cpu", "precision": "float32"}
    settings = settings_in(tmp_path, tiny_encoder, model=model, evolution={"rounds": 1})
    assert len(evolve(settings).rounds) == 2


def test_random_choice_asks_no_agent(tmp_path: Path, tiny_encoder: Path) -> None:
    settings = settings_in(tmp_path, tiny_encoder, miner={"choice": "random"}, evolution={"rounds": 1})
    result = evolve(settings)
    assert result.rounds[1]["counts"]["mined_by"] == {"random": settings.budget.pairs_per_round}
    assert result.rounds[1]["nominations"] == {}


def test_a_round_in_which_the_panel_keeps_nothing_is_rolled_back(tmp_path: Path, tiny_encoder: Path) -> None:
    judges = [{"backend": f"simulated:accuracy=0.0,shared=0.0,seed={n}", "name": f"j{n}"} for n in range(9)]
    settings = settings_in(tmp_path, tiny_encoder, judges=judges, evolution={"rounds": 1})
    report = evolve(settings).rounds[1]
    assert report["counts"]["labelled"] == 0
    assert report["verdict"] == "rolled_back"
    assert report["models"]["challenger"] == report["models"]["champion_after"]


@pytest.mark.slow
def test_a_checkpoint_stays_small_when_the_window_grows_tenfold(tmp_path: Path, tiny_encoder: Path) -> None:
    import sqlite3

    for size in (10, 100):
        folder = tmp_path / str(size)
        settings = settings_in(
            folder, tiny_encoder, pairs=make_pairs(queries_per_month=size), evolution={"rounds": 1}
        )
        evolve(settings)
        database = sqlite3.connect(settings.workspace_path / "checkpoints.sqlite")
        largest = max(len(row[0]) for row in database.execute("SELECT checkpoint FROM checkpoints"))
        database.close()
        assert largest < 100_000


def test_the_result_tables_show_every_round_and_set(finished: Any) -> None:
    from serm.benchmarks.results import results_markdown

    _, result, _ = finished
    text = results_markdown(result.rounds)
    for cell in (
        "| m2 |",
        "| early (static) |",
        "| late (last) |",
        "| evolving |",
        "| rolled back",
        "seed |",
    ):
        assert cell in text
    unchanged = [r for r in result.rounds if r["models"]["champion_after"] == r["models"]["frozen"]]
    assert text.count("| – | – | – |") == sum(len(report["evaluations"]) for report in unchanged)
