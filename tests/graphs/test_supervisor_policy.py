"""Under `policy: llm` a chat model supervises, within limits that it cannot talk its way past."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from langgraph.checkpoint.sqlite import SqliteSaver
from small_world import MLFLOW, make_pairs, world

from serm.core import Settings
from serm.core.errors import WorkspaceError
from serm.core.hashing import query_bucket
from serm.graphs import (
    EvolutionResult,
    answer_question,
    build_supervisor_graph,
    evolve,
    pending_question,
    run_config,
)
from serm.storage.judgments import JudgmentStore
from serm.storage.trace import Span, SpanKind, read_spans

pytestmark = pytest.mark.slow  # whole rounds under a model that supervises

Turn = dict[str, Any]


def call(name: str, **arguments: Any) -> Turn:
    return {"tool_calls": [{"name": name, "args": arguments}]}


SANE = [call("mine", pairs=24), call("annotate"), call("retrain"), call("evaluate")]


@dataclass
class Seen:
    settings: Settings
    result: EvolutionResult

    @property
    def round(self) -> dict[str, Any]:
        return self.result.rounds[1]

    @property
    def spans(self) -> list[Span]:
        trace_id = self.round["trace_id"]
        return read_spans(self.settings.workspace_path / "traces.sqlite", trace_id)

    def turns(self) -> list[Span]:
        return [item for item in self.spans if item.kind is SpanKind.AGENT and item.name == "supervisor"]

    def errors(self) -> list[str]:
        """What its calls were refused with."""
        turns = {item.span_id for item in self.turns()}
        tools = [item for item in self.spans if item.kind is SpanKind.TOOL and item.parent_id in turns]
        return [item.error for item in tools if item.error]

    def acts(self) -> list[str]:
        return [item.outputs["act"] for item in self.turns() if item.outputs["act"]]

    def fell_back(self) -> str:
        return next((str(i.attributes["reason"]) for i in self.turns() if i.attributes.get("fell_back")), "")


def settings_of(folder: Path, encoder: Path, turns: list[Turn], **sections: Any) -> Settings:
    """A world whose supervisor plays `turns` in each round; its miners and its chair have no script and fall
    back."""
    folder.mkdir(exist_ok=True)
    script = {"agents": {"supervisor": turns}}
    (folder / "script.yaml").write_text(yaml.safe_dump(script), encoding="utf-8")
    agents = {"llm": "scripted:script.yaml", "max_steps": 7} | sections.pop("agents", {})
    storage = {"mlflow": f"sqlite:///{folder / MLFLOW}", "shared": str(encoder.parent / "shared")}
    evolution = {"rounds": 1} | sections.pop("evolution", {})
    config = world(folder, encoder, agents=agents, storage=storage, evolution=evolution, **sections)
    return Settings.from_mapping(config, folder=folder, environment={})


def run(folder: Path, encoder: Path, turns: list[Turn], **sections: Any) -> Seen:
    settings = settings_of(folder, encoder, turns, **sections)
    return Seen(settings, evolve(settings))


def test_a_sane_model_goes_through_the_round_and_the_gate_decides(tmp_path: Path, tiny_encoder: Path) -> None:
    seen = run(tmp_path, tiny_encoder, SANE)
    assert seen.acts() == ["mine", "annotate", "retrain", "evaluate"]
    assert (seen.fell_back(), seen.errors()) == ("", [])
    assert seen.round["counts"]["mined"] == 24  # fewer than the budget, as it decided
    assert seen.round["verdict"] == ("promoted" if seen.round["decision"]["promoted"] else "rolled_back")
    assert seen.result.stop == "all 1 rounds are done"
    told = [item for item in seen.spans if item.kind is SpanKind.TOOL and item.name == "annotate"][-1]
    assert json.loads(told.outputs)["pairs"] == 24
    assert all(item.attributes["policy"] == "scripted:script.yaml" for item in seen.turns())


@pytest.mark.parametrize(
    ("turns", "refused", "lost"),
    [
        ([call("mine", pairs=40)] * 9, 0, "not done after 7 turns"),
        ([call("mine", pairs=41)] * 2, 2, "41 pairs are more than a round may send to the judges: 40."),
        ([SANE[0]], 0, "the model failed: AgentError: the script"),
        ([*SANE[:3], call("promote"), call("promote")], 2, "there is no tool promote"),
    ],
    ids=["loops", "over budget", "dies in the middle", "promotes"],
)
def test_a_model_that_goes_wrong_loses_the_round_to_the_rules(
    tmp_path: Path, tiny_encoder: Path, turns: list[Turn], refused: int, lost: str
) -> None:
    seen = run(tmp_path, tiny_encoder, turns)
    assert lost in seen.fell_back()
    assert len(seen.errors()) == refused
    assert seen.acts()[-1] == "evaluate"  # the rules bring it to its end
    assert seen.turns()[-1].attributes["policy"] == "rules"
    assert seen.round["verdict"] == ("promoted" if seen.round["decision"]["promoted"] else "rolled_back")
    assert seen.round["counts"]["mined"] <= 40


def test_a_question_waits_for_a_person_and_the_answer_goes_back(tmp_path: Path, tiny_encoder: Path) -> None:
    asks = call("ask_person", question="Is the new region a campaign?")
    answers = {**call("mine", pairs=8), "when": "it is a campaign"}
    settings = settings_of(tmp_path, tiny_encoder, [asks, answers, call("mine"), *SANE[1:]])
    first = evolve(settings)
    assert first.question == "Is the new region a campaign?"
    assert "serm answer" in first.stop
    assert evolve(settings) == first  # asked again it still waits, and asks nothing new
    question = pending_question(settings)
    assert question is not None
    assert question.about["window"] == "m2"
    answer_question(settings, "it is a campaign", person="anna")
    with pytest.raises(WorkspaceError, match="no question waits"):
        answer_question(settings, "or not", person="ben")
    seen = Seen(settings, evolve(settings))
    assert seen.acts()[:2] == ["ask_person", "mine"]
    assert seen.round["counts"]["mined"] == 8
    human = next(item for item in seen.spans if item.name == "human")
    assert (human.attributes["policy"], human.outputs) == ("anna", "it is a campaign")


def test_nobody_is_asked_where_the_config_says_so(tmp_path: Path, tiny_encoder: Path) -> None:
    asks = [call("ask_person", question="May I?")] * 2
    seen = run(tmp_path, tiny_encoder, asks, agents={"ask": False})
    assert "there is no tool ask_person" in seen.fell_back()
    assert seen.result.question == ""


def test_it_may_stop_the_run_before_money_is_spent_and_is_asked_anew(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    settings = settings_of(tmp_path, tiny_encoder, [call("stop", reason="nothing drifts")])
    for asked in (1, 2):
        result = evolve(settings)
        assert result.stop == "the supervisor stopped it: nothing drifts"
        assert len(result.rounds) == 1
        with JudgmentStore(f"sqlite:///{settings.workspace_path / 'judgments.sqlite'}") as store:
            assert (store.turn_totals().turns, store.totals().judgments) == (asked, 0)


def test_labels_that_are_paid_for_are_used_before_the_run_stops(tmp_path: Path, tiny_encoder: Path) -> None:
    turns = [*SANE[:2], call("stop", reason="too dear")]
    seen = run(tmp_path, tiny_encoder, turns, evolution={"rounds": 2})
    assert seen.acts() == ["mine", "annotate", "stop", "retrain", "evaluate"]
    assert [report["round"] for report in seen.result.rounds] == [0, 1]
    assert seen.result.stop == "the supervisor stopped it: too dear"


def told(settings: Settings) -> list[str]:
    """What the supervisor's model was told, round by round."""
    graph = build_supervisor_graph(settings)
    held: dict[int, list[str]] = {}
    for state in graph.get_state_history(run_config(settings)):
        if "supervision" in state.values:
            talk = state.values["supervision"]["talk"]
            heard = [str(item["data"]["content"]) for item in talk if item["type"] in ("human", "tool")]
            if len(heard) > len(held.get(state.values["round"], [])):
                held[state.values["round"]] = heard
    return [text for number in sorted(held) for text in held[number]]


def test_it_is_told_of_the_window_and_the_gate_and_never_of_sealed_grades(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    pairs = make_pairs()
    recorded = pd.concat(pairs[["query_id", "doc_id", "grade"]].assign(judge=name) for name in ("ann", "bob"))
    buckets = pairs["query_id"].map(lambda q: query_bucket(q, 5))
    sealed = ((pairs["timestamp"] >= "2024-02-01") & (buckets != 0)) | (buckets == 1)
    corrupted = pairs.assign(grade=pairs["grade"].where(~sealed, 3 - pairs["grade"]))
    heard = []
    for name, frame in (("honest", pairs), ("blind", corrupted)):
        folder = tmp_path / name
        folder.mkdir()
        recorded.to_parquet(folder / "judgments.parquet", index=False)
        judges = [{"backend": f"replay:judgments.parquet#{judge}"} for judge in ("ann", "bob")]
        settings = settings_of(
            folder, tiny_encoder, SANE, judges=judges, pairs=frame, evolution={"rounds": 2}
        )
        evolve(settings)
        heard.append(told(settings))
    assert heard[0] == heard[1]
    first, second = (text for text in heard[0] if text.startswith("Round"))
    for word in ("drift", "calibration_error", "languages", "pairs_this_round", "money_left"):
        assert word in first
    for word in ("verdict", "gate_change", "last_yield", "kept", "news"):
        assert word in second
    assert all(len(line.encode()) < 2_048 for text in heard[0] for line in text.splitlines())


def made(result: EvolutionResult) -> list[Any]:
    return [(r["labels"], r["snapshot"], r["decision"], r["evaluations"]) for r in result.rounds[1:]]


def turns_paid(settings: Settings) -> int:
    with JudgmentStore(f"sqlite:///{settings.workspace_path / 'judgments.sqlite'}") as store:
        return store.turn_totals().turns


def test_a_run_that_dies_again_and_again_repeats_no_turn_and_no_step(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm, hurt = (settings_of(tmp_path / name, tiny_encoder, SANE) for name in ("calm", "hurt"))
    ended = evolve(calm)
    put, left = SqliteSaver.put, 0

    def dies(self: SqliteSaver, *given: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:  # the node is done, its turn is paid for, and the checkpoint is not written
            raise RuntimeError("killed")
        return put(self, *given)

    lives = 0
    with monkeypatch.context() as patch:
        patch.setattr(SqliteSaver, "put", dies)
        while True:
            lives, left = lives + 1, 7
            try:
                result = evolve(hurt)
                break
            except RuntimeError:
                continue
    assert lives >= 3
    assert made(result) == made(ended)
    assert turns_paid(hurt) == turns_paid(calm) == len(SANE)


def live(folder: Path, encoder: Path, events: Connection) -> None:
    """What the killed process does."""
    evolve(settings_of(folder, encoder, SANE), on_event=lambda event: events.send(event.step))
    events.send("the end")


@pytest.mark.timeout(240)
def test_a_supervised_run_that_is_killed_ends_as_a_calm_one(tmp_path: Path, tiny_encoder: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["serm.graphs.run"])
    calm, hurt = (settings_of(tmp_path / name, tiny_encoder, SANE) for name in ("calm", "hurt"))
    ended = evolve(calm)
    rng = np.random.default_rng(3)
    for step in ("supervise", "annotate"):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=live, args=(tmp_path / "hurt", tiny_encoder, theirs))
        process.start()
        theirs.close()
        with contextlib.suppress(EOFError):
            while ours.recv() not in (step, "the end"):
                pass
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.join()
    assert made(evolve(hurt)) == made(ended)
    assert turns_paid(hurt) == turns_paid(calm) == len(SANE)
