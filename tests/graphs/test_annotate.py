"""`annotate`: the annotator over a frame of pairs, with recorded and simulated judges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_world import make_pairs

from serm.core import Settings
from serm.core.errors import ConfigError, DataError
from serm.graphs import annotate
from serm.graphs.events import Event
from serm.storage.trace import SpanKind, read_spans
from serm.storage.workspace import ANNOTATE

SIMULATED = [{"backend": "simulated:accuracy=0.85,shared=0.5,seed=3", "name": name} for name in "abc"]
Make = Callable[..., Settings]


@pytest.fixture(scope="module")
def world() -> pd.DataFrame:
    return make_pairs(queries_per_month=12)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Settings of judges alone: no data is named."""

    def settings(*judges: Any, **sections: Any) -> Settings:
        values = {"judges": list(judges) or SIMULATED, "llm": {"shard": 40}, **sections}
        return Settings.from_mapping(values, folder=tmp_path, environment={})

    return settings


def test_every_pair_gets_a_label_in_the_order_of_the_pairs(world: pd.DataFrame, make: Make) -> None:
    pairs = world.sample(100, random_state=1)
    events: list[Event] = []
    found = annotate(pairs, make(), on_event=events.append)
    assert list(found.labels["doc_id"]) == list(pairs["doc_id"])
    assert sum(found.counts["outcomes"].values()) == found.counts["pairs"] == 100
    kept = found.labels[found.labels["outcome"] == "unanimous"]
    assert kept["grade"].notna().all()
    assert all(len({grade for _, grade in votes}) == 1 for votes in kept["votes"])
    assert found.counts["judging"]["judgments"] == len(found.judgments) == 300
    assert found.counts["simulated_judges"] == ["a", "b", "c"]
    assert found.judgments["simulated"].all()
    assert {event.step for event in events} >= {"wave", "judge", "vote"}
    assert max(event.done for event in events) == 300


def test_another_rule_over_the_same_judgments_asks_nobody_again(
    world: pd.DataFrame, make: Make, tmp_path: Path
) -> None:
    pairs = world.head(60)
    first = annotate(pairs, make())
    spans = tmp_path / ".serm" / ANNOTATE / "traces.sqlite"
    second = annotate(pairs, make(agreement={"rule": "majority"}))
    assert "majority" in set(second.labels["outcome"]) <= {"majority", "dropped"}
    pd.testing.assert_frame_equal(first.judgments, second.judgments)
    names = {row.trace_id for row in _roots(spans)}
    assert len(names) == 2, "each config has a trace of its own"
    shards = [span for name in names for span in read_spans(spans, name) if span.kind is SpanKind.SHARD]
    assert sum(span.outputs["asked"] for span in shards) == 180


def _roots(database: Path) -> list[Any]:
    import sqlite3

    connection = sqlite3.connect(database)
    names = [row[0] for row in connection.execute("SELECT DISTINCT trace_id FROM spans")]
    connection.close()
    return [span for name in names for span in read_spans(database, name) if span.kind is SpanKind.ROUND]


def test_reliability_learns_from_gold_and_counts_it_apart(world: pd.DataFrame, make: Make) -> None:
    pairs, gold = world.head(120), world.iloc[120:]
    settings = make(agreement={"rule": "reliability", "calibration": 150, "keep": 1.0})
    found = annotate(pairs, settings, gold=gold)
    assert set(found.labels["outcome"]) == {"reliability"}
    shares = found.labels[["p0", "p1", "p2", "p3"]].sum(axis=1)
    assert shares.between(0.999, 1.001).all()
    calibration = found.counts["calibration"]
    assert (calibration["pairs"], calibration["judgments"]) == (150, 450)
    assert [jury["rule"] for jury in calibration["juries"]] == ["reliability"]
    assert found.counts["judging"]["judgments"] == 360
    more = annotate(world.head(130), settings, gold=gold)
    assert more.counts["calibration"]["reliability"] == calibration["reliability"], "gold was not asked again"


def test_the_grades_of_gold_decide_and_those_of_the_pairs_do_not(
    world: pd.DataFrame, make: Make, tmp_path: Path
) -> None:
    recorded = [world.assign(judge=name)[["query_id", "doc_id", "judge", "grade"]] for name in "ab"]
    recorded[1]["grade"] = (recorded[1]["grade"] + 1) % 4  # one judge is right, the other never
    pd.concat(recorded).to_parquet(tmp_path / "said.parquet")
    judges = [f"replay:said.parquet#{name}" for name in "ab"]
    settings = make(*judges, agreement={"rule": "reliability", "keep": 1.0})
    pairs, gold = world.head(100), world.iloc[100:]
    honest = annotate(pairs, settings, gold=gold)
    assert (honest.labels["grade"] == pairs["grade"].to_numpy()).all()
    blind = annotate(pairs.assign(grade=0), settings, gold=gold)
    pd.testing.assert_frame_equal(blind.labels, honest.labels)
    other = annotate(pairs, settings, gold=gold.assign(grade=(gold["grade"] + 1) % 4))
    assert (other.labels["grade"] == (pairs["grade"].to_numpy() + 1) % 4).all()


def test_sources_with_other_judges_are_weighed_apart_and_fall_back_apart(
    world: pd.DataFrame, make: Make
) -> None:
    web, shop = (
        world.iloc[rows].assign(source=name)
        for name, rows in (("web", slice(0, 60)), ("shop", slice(60, 120)))
    )
    gold = pd.concat([world.iloc[120:300].assign(source="web"), world.iloc[300:310].assign(source="shop")])
    judges = [
        {**SIMULATED[0], "sources": ["web"]},
        {**SIMULATED[1], "sources": ["web"]},
        {**SIMULATED[2], "sources": ["shop"]},
    ]
    settings = make(*judges, agreement={"rule": "reliability", "keep": 0.8})
    found = annotate(pd.concat([web, shop]), settings, gold=gold)
    juries = {tuple(jury["judges"]): jury for jury in found.counts["calibration"]["juries"]}
    assert (juries["a", "b"]["rule"], juries["a", "b"]["sources"]) == ("reliability", ["web"])
    assert (juries["c",]["rule"], juries["c",]["pairs"]) == ("unanimous", 10)
    assert "10 human-graded pairs" in juries["c",]["why"]
    outcomes = found.labels["outcome"].to_numpy()
    assert set(outcomes[:60]) == {"reliability", "dropped"}
    assert set(outcomes[60:]) == {"unanimous"}, "one judge is that judge's word"


def test_a_pair_that_nobody_judges_has_failed(world: pd.DataFrame, make: Make) -> None:
    judges = [{**judge, "sources": ["web"]} for judge in SIMULATED]
    pairs = world.head(20).assign(source=["web", "shop"] * 10)
    found = annotate(pairs, make(*judges))
    assert list(found.labels["outcome"][1::2]) == ["failed"] * 10
    assert list(found.labels["votes"][1::2]) == [[]] * 10
    assert "failed" not in list(found.labels["outcome"][::2])


def test_what_was_recorded_is_replayed_to_the_same_labels(
    world: pd.DataFrame, make: Make, tmp_path: Path
) -> None:
    from serm.storage.recording import write_recording

    pairs, gold = world.head(50), world.iloc[50:250]
    first = annotate(pairs, make(agreement={"rule": "reliability"}), gold=gold)
    for ending in ("parquet", "jsonl", "csv"):
        write_recording(first.judgments, tmp_path / f"said.{ending}")
        judges = [f"replay:said.{ending}#{name}" for name in "abc"]
        again = annotate(pairs, make(*judges, agreement={"rule": "reliability"}), gold=gold)
        pd.testing.assert_frame_equal(again.labels, first.labels)
        assert again.counts["simulated_judges"] == ["a", "b", "c"], "they stay marked"


def test_without_gold_reliability_is_refused(world: pd.DataFrame, make: Make) -> None:
    with pytest.raises(ConfigError, match="learns from human-graded pairs"):
        annotate(world.head(3), make(agreement={"rule": "reliability"}))
    with pytest.raises(ConfigError, match="no gold pair has a grade"):
        annotate(
            world.head(3), make(agreement={"rule": "reliability"}), gold=world.tail(3).drop(columns="grade")
        )


def test_simulated_judges_need_grades(world: pd.DataFrame, make: Make) -> None:
    with pytest.raises(ConfigError, match="no human grades"):
        annotate(world.head(3).drop(columns="grade"), make())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda frame: frame.drop(columns="query"), "field query: the column `query` is missing"),
        (lambda frame: frame.assign(text="", title=""), "row 3, field text: title and text are both blank"),
        (lambda frame: frame.assign(grade=9), "field grade: out of range"),
        (lambda frame: pd.concat([frame, frame]), "row 4, field doc_id: the pair was there before"),
    ],
)
def test_a_bad_frame_is_refused_with_row_and_field(
    world: pd.DataFrame, make: Make, change: Callable[[pd.DataFrame], pd.DataFrame], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        annotate(change(world.head(3)), make())


def test_a_loop_may_still_use_the_workspace_that_pairs_were_annotated_in(
    world: pd.DataFrame, make: Make, tmp_path: Path
) -> None:
    from serm.storage.workspace import Workspace

    annotate(world.head(5), make())
    with Workspace.open(make(random_seed=9)) as workspace:
        assert workspace.folder == tmp_path / ".serm"
    annotate(world.head(5), make())


def test_no_pairs_are_no_labels(world: pd.DataFrame, make: Make, tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text("turns: ['{\"grade\": 2}']")
    found = annotate(world.head(0), make("scripted:script.yaml"))
    assert found.labels.empty
    assert found.counts["outcomes"] == {}
