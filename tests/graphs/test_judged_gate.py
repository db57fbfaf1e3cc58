"""The gate with queries that the panel alone grades: they are never mined, and it says what they bring."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from small_world import distinct_pairs, world

from serm.core import Settings
from serm.core.errors import DataError
from serm.core.records import PairKey
from serm.core.settings_loop import GateSettings
from serm.evals.gate import _by_window, decide
from serm.evals.judged_gate import JudgedChanges, panel_grades, powered_change, query_changes
from serm.evals.listed import rows_by_window
from serm.graphs import evolve
from serm.graphs.gate_panel import _Graded, panel_pairs
from serm.graphs.gating import hold_gate
from serm.graphs.resources import Resources
from serm.relevance_model.base import Scores, expected_grade
from serm.storage.judgments import JudgmentStore

pytestmark = pytest.mark.slow  # whole rounds with a panel at the gate

SHARE = 0.3


def settings(folder: Path, encoder: Path, pairs: pd.DataFrame | None = None, **sections: Any) -> Settings:
    gate = {"resamples": 200, "judged_share": SHARE, "judged_least": 10} | sections.pop("gate", {})
    pairs = distinct_pairs(40) if pairs is None else pairs
    config = world(folder, encoder, pairs, gate=gate, evolution={"rounds": 2}, **sections)
    return Settings.from_mapping(config, folder=folder, environment={})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> tuple[Settings, list[Any]]:
    stated = settings(tmp_path_factory.mktemp("judged"), tiny_encoder)
    return stated, list(evolve(stated).rounds)


def test_queries_of_the_panel_are_neither_mined_nor_trained_on(done: tuple[Settings, list[Any]]) -> None:
    stated, reports = done
    with Resources(stated) as resources:
        data = resources.dataset
        kept = set(data.judged_only(len(data.windows))["query_id"])
        share = len(kept) / (len(kept) + sum(window.queries for window in data.windows))
        assert SHARE - 0.12 < share < SHARE + 0.12
        for window in data.windows:
            assert not kept & set(data.window(window.index)["query_id"])
            assert not kept & set(data.sealed(window.index)["query_id"])
            assert set(data.judged_only(window.index)["window"]) == set(range(window.index + 1))
        texts = set(data.judged_only(1)["query"].str.lower().str.split().map(frozenset))
        folder = resources.workspace.folder
        for report in reports[1:]:
            mined, trained = (pd.read_parquet(folder / report[name]) for name in ("sample", "snapshot"))
            assert len(mined)
            assert not kept & set(mined["query_id"])
            assert not kept & set(trained["query_id"])
        assert not set(trained["query"].str.lower().str.split().map(frozenset)) & texts


def test_the_gate_shows_both_intervals_and_what_it_paid(done: tuple[Settings, list[Any]]) -> None:
    stated, reports = done
    totals = 0
    for number, report in enumerate(reports[1:], 1):
        decision = report["decision"]
        judged = decision["judged"]
        assert judged["human"]["n"] == decision["change"]["n"]
        assert 0 <= judged["weight"] <= 1
        assert "the panel alone has graded" in " ".join(decision["reasons"])
        with Resources(stated) as resources:
            gate, further = resources.human_graded(number), resources.judged_lists(number)
            assert judged["queries"] == further["query_id"].nunique()
            assert judged["pairs"] == len(panel_pairs(resources, number))
            assert judged["pairs"] == len(gate) + len(further), (
                "every pair of this gate has a grade, and comes once"
            )
        totals += report["counts"]["gate"]["judgments"]
        assert totals == 3 * judged["pairs"]  # each judge, each pair, once
        assert report["counts"]["judging"]["judgments"] <= 3 * report["counts"]["mined"]
    assert any(report["decision"]["judged"]["weight"] > 0.2 for report in reports[1:])
    with JudgmentStore(f"sqlite:///{stated.workspace_path / 'judgments.sqlite'}") as store:
        both = sum(
            report["counts"][name]["judgments"] for report in reports[1:] for name in ("gate", "judging")
        )
        assert store.totals().judgments == both


def test_corrupted_grades_of_the_panels_queries_change_nothing(tmp_path: Path, tiny_encoder: Path) -> None:
    """The judges are recorded: nothing else may read what stands under their seal."""
    pairs = distinct_pairs()
    with Resources(settings(tmp_path / "look", tiny_encoder, pairs)) as resources:
        kept = set(resources.dataset.judged_only(9)["query_id"])
    recorded = pd.concat(pairs[["query_id", "doc_id", "grade"]].assign(judge=name) for name in ("ann", "bob"))
    made = []
    for name, table in (
        ("honest", pairs),
        (
            "blind",
            pairs.assign(grade=pairs["grade"].where(~pairs["query_id"].isin(kept), 3 - pairs["grade"])),
        ),
    ):
        (tmp_path / name).mkdir()
        recorded.to_parquet(tmp_path / name / "said.parquet", index=False)
        judges = [{"backend": f"replay:said.parquet#{judge}"} for judge in ("ann", "bob")]
        stated = settings(tmp_path / name, tiny_encoder, table, judges=judges)
        made.append(
            [(report["labels"], report["decision"]) for report in evolve(stated, rounds=1).rounds[1:]]
        )
    assert made[0] == made[1]


def test_what_the_panel_brought_is_in_mlflow(done: tuple[Settings, list[Any]]) -> None:
    from mlflow.tracking import MlflowClient

    stated, reports = done
    client = MlflowClient(stated.storage.mlflow)
    runs = [run for item in client.search_experiments() for run in client.search_runs([item.experiment_id])]
    weights = {run.data.metrics["gate/weight"] for run in runs if "gate/weight" in run.data.metrics}
    assert weights == {report["decision"]["judged"]["weight"] for report in reports[1:]}


def test_a_gate_that_was_killed_goes_on_counting(done: tuple[Settings, list[Any]]) -> None:
    stated, reports = done
    before = json.loads((stated.workspace_path / "rounds/002/before_gate.json").read_text(encoding="utf-8"))
    assert before["judgments"] == reports[2]["counts"]["judging"]["judgments"]


def test_a_share_that_takes_nothing_is_told(tmp_path: Path, tiny_encoder: Path) -> None:
    with (
        Resources(settings(tmp_path, tiny_encoder, gate={"judged_share": 1e-9})) as resources,
        pytest.raises(DataError, match="takes no query"),
    ):
        _ = resources.dataset


def test_the_panels_grade_is_the_commonest_vote_and_the_lower_of_two() -> None:
    frame = pd.DataFrame({"query_id": ["q", "q", "q"], "doc_id": ["a", "b", "c"]})
    said = [
        SimpleNamespace(key=PairKey("q", doc), grade=grade)
        for doc, grades in {"a": (3, 1, 3), "b": (2, 1, None), "c": (None, None, None)}.items()
        for grade in grades
    ]
    assert panel_grades(frame, said).fillna(-1).tolist() == [3, 1, -1]  # type: ignore[arg-type]


def _asked_again(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame, Scores, Scores]:
    """240 graded pairs of 20 queries, each of the first window that has it; what both windows listed; scores.

    Ten queries come in both: window 0 shows six documents, window 1 four of these and six new ones.
    """
    frame = pd.DataFrame(
        {
            "query_id": np.repeat([f"q{number:02d}" for number in range(20)], 12),
            "doc_id": [f"d{number}" for number in range(240)],
            "grade": np.tile([0, 1, 2, 3], 60),
            "window": np.where((np.arange(240) % 12 < 6) & (np.arange(240) < 120), 0, 1),
        }
    )
    frame["text"] = frame["query_id"]
    again = frame[(frame["window"] == 0) & (np.arange(240) % 12 < 4)].assign(window=1)
    lists = pd.concat([frame, again], ignore_index=True).drop(columns="grade")
    before, after = (_scores(rng.random((240, 4))) for _ in range(2))
    return frame, lists, before, after


def test_the_newest_windows_changes_are_of_its_whole_lists_by_people_and_by_the_panel() -> None:
    """Of a query that is asked again the newest window shows old documents beside new ones: a model that is
    better on the list may be worse on the few that no window had before."""
    frame, lists, before, after = _asked_again(np.random.default_rng(3))
    asked = rows_by_window(frame, lists)
    panel = _Graded(frame, before.expected, after.expected, asked)  # which grades as people do
    people = _by_window(frame, before, after, asked)[1].set_index("query_id")
    newest, every = (panel.changes(window).set_index("query_id") for window in (1, None))
    assert set(newest["window"]) == set(people["window"]) == {1}
    assert people["pairs"].tolist() == [10] * 10 + [12] * 10
    assert newest["change"].to_dict() == people["change"].to_dict()
    assert (every.loc["q00", "window"], every.loc["q19", "window"]) == (0, 1)
    differs = (every["change"] != newest["change"]).to_numpy()
    assert differs[:10].sum() > 5
    assert not differs[10:].any()


def test_what_a_decision_says_of_the_newest_window_is_of_its_whole_lists() -> None:
    frame, lists, before, _ = _asked_again(np.random.default_rng(3))
    ideal = np.eye(4, dtype=np.float32)[frame["grade"]]
    after = np.where(
        (frame["window"] == 1).to_numpy()[:, None], ideal[:, ::-1], ideal
    )  # new ones upside down
    stated = GateSettings(resamples=200)
    told = [
        decide(
            frame,
            before,
            Scores(after, expected_grade(after)),
            settings=stated,
            newest_window=1,
            looks=1,
            seed=0,
            asked=asked,
        )
        for asked in (None, rows_by_window(frame, lists))
    ]
    assert told[0].newest.n == told[1].newest.n == 20
    assert told[0].change == told[1].change
    assert told[0].newest.mean < told[1].newest.mean, "four old documents of each list are ranked well"


def test_a_query_that_no_judge_answered_for_is_one_without_a_change_on_either_side() -> None:
    """Judges may have no word for a whole source: people's queries of it are still part of the mean."""
    frame = pd.DataFrame(
        {
            "query_id": np.repeat(list("abc"), 4),
            "doc_id": [f"d{number}" for number in range(12)],
            "grade": np.tile([0, 1, 2, 3], 3),
            "window": 1,
            "text": np.repeat(["red", "green", "blue"], 4),
        }
    )
    rng = np.random.default_rng(3)
    answered = (frame["query_id"] != "b").to_numpy()
    before, after = (_scores(rng.random((12, 4))).expected for _ in range(2))
    said = frame.assign(grade=frame["grade"].where(answered))
    found = _Graded(said, before, after, rows_by_window(frame, frame)).changes(1)
    assert found["query_id"].tolist() == ["a", "b", "c"]
    assert found["change"].isna().tolist() == [False, True, False]


def test_what_people_left_ungraded_in_the_gate_does_not_bend_the_panels_part() -> None:
    """People grade ten documents of twenty. A challenger that is worse on these and better on the others is
    worse by their grades, and the panel, which sees all of every list, must not turn that into better."""
    rng = np.random.default_rng(7)
    many = _half_graded(rng, 5_000, "true-")
    many = many[np.arange(len(many)) % 20 < 10].reset_index(drop=True)
    worse = query_changes(many, many["before"], many["after"], 4)["change"].mean()
    held, means = 0, []
    for _ in range(RUNS):
        frames = [_half_graded(rng, queries, f"{side}-") for side, queries in (("gate", 60), ("judged", 150))]
        people = frames[0][np.arange(len(frames[0])) % 20 < 10].reset_index(drop=True)
        human = query_changes(people, people["before"], people["after"], 4)
        sides = [query_changes(frame, frame["before"], frame["after"], 4) for frame in frames]
        found = powered_change(human, JudgedChanges(*sides), 0.9, 10)
        held += found.interval.low <= worse
        means.append(found.interval.mean)
    assert np.mean(means) == pytest.approx(worse, abs=0.01)
    assert held / RUNS > 0.8


RUNS = 60


def _half_graded(rng: np.random.Generator, queries: int, name: str) -> pd.DataFrame:
    """Lists of twenty; the challenger has more noise on the first ten documents and less on the others."""
    grades = rng.integers(0, 4, (queries, 20))
    noise = np.where(np.arange(20) < 10, 1.6, 0.4)
    return pd.DataFrame(
        {
            "query_id": np.repeat([f"{name}{number}" for number in range(queries)], 20),
            "doc_id": [f"{name}{number}" for number in range(queries * 20)],
            "grade": grades.ravel(),
            "window": 0,
            "before": (grades + rng.normal(0, 1, grades.shape)).ravel(),
            "after": (grades + noise * rng.normal(0, 1, grades.shape)).ravel(),
        }
    )


def _scores(values: np.ndarray) -> Scores:
    given = (values / values.sum(axis=1, keepdims=True)).astype(np.float32)
    return Scores(given, expected_grade(given))


def test_the_panel_grades_what_people_left_ungraded_and_the_newest_window_is_judged_by_whole_lists(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    """Every query of the first window is asked again in the second, with the same documents; of each list
    people graded half."""
    pairs = distinct_pairs(30)
    pairs["grade"] = pairs["grade"].where(pairs["doc_id"].str[-1].astype(int) < 4)
    again = pairs[pairs["timestamp"] == "2024-02-10"].assign(timestamp=pd.Timestamp("2024-03-10"))
    stated = settings(tmp_path, tiny_encoder, pd.concat([pairs, again], ignore_index=True))
    with Resources(stated) as resources:
        gate, asked = resources.human_graded(2), panel_pairs(resources, 2)
        of_gate = asked[asked["query_id"].isin(gate["query_id"])]
        assert set(gate.groupby("query_id").size()) == {4}
        assert set(of_gate.groupby("query_id").size()) == {8}
        untrained = resources.models.untrained()
        state: Any = {"round": 2, "champion": untrained, "challenger": untrained, "looks": 0}
        with mock.patch("serm.graphs.gating.judged_gate", return_value=None):
            decision = hold_gate(resources, state)
        grades = gate.groupby("query_id")["grade"].nunique()
        listed = resources.gate_lists(2).query("window == 1")["query_id"].unique()
        assert decision.newest.n == int((grades[listed] > 1).sum())
        assert (
            decision.newest.n > (gate[gate["window"] == 1].groupby("query_id")["grade"].nunique() > 1).sum()
        )
