"""A panel: who judges what, and what it remembers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from serm.agents.panel import open_panel, pairs_of
from serm.core import Settings
from serm.storage.judgments import JudgmentStore
from serm.storage.trace import SpanKind, Tracer, read_spans, span

SettingsOf = Callable[..., Settings]

FRAME = pd.DataFrame(
    {
        "query_id": ["1", "1", "2", "2"],
        "doc_id": ["a", "b", "a", "b"],
        "query": ["x", "x", "y", "y"],
        "title": "",
        "text": ["ta", "tb", "ta", "tb"],
        "language": "en",
        "source": ["web", "web", "shop", "shop"],
    }
)
FILE = """query_id,doc_id,judge,grade
1,a,anna,1
1,b,anna,2
2,a,anna,3
2,b,anna,0
1,a,ben,1
1,b,ben,9
2,b,cleo,0
"""


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "judgments.csv"
    path.write_text(FILE)
    return path


def test_each_judge_grades_the_sources_that_it_judges_and_judgments_come_in_the_order_of_the_frame(
    tmp_path: Path, recorded: Path, settings_of: SettingsOf
) -> None:
    settings = settings_of(
        {"backend": "replay:judgments.csv#anna"},
        {"backend": "replay:judgments.csv#ben", "sources": ["web"]},
        {"backend": "replay:judgments.csv#cleo", "sources": ["shop"]},
        data={"sources": [{"pairs": f"{name}.csv", "name": name} for name in ("web", "shop")]},
    )
    with JudgmentStore(f"sqlite:///{tmp_path / 'j.sqlite'}") as store, open_panel(settings) as panel:
        assert panel.names == ("anna", "ben", "cleo")
        assert len(panel.wanted("anna", FRAME)) == 4
        for name in panel.names:
            panel.judge(name, pairs_of(panel.wanted(name, FRAME)), store)
        shuffled = FRAME.iloc[[3, 0, 2, 1]]
        told = [(*j.key, j.judge, j.grade) for j in panel.judgments(shuffled, store)]
    assert told == [
        ("2", "b", "anna", 0),
        ("2", "b", "cleo", 0),
        ("1", "a", "anna", 1),
        ("1", "a", "ben", 1),
        ("2", "a", "anna", 3),
        ("2", "a", "cleo", None),
        ("1", "b", "anna", 2),
        ("1", "b", "ben", None),
    ]


def test_a_judgment_is_remembered_by_all_that_can_change_it(
    tmp_path: Path, recorded: Path, settings_of: SettingsOf
) -> None:
    with JudgmentStore(f"sqlite:///{tmp_path / 'j.sqlite'}") as store:

        def asked(backend: dict[str, object], frame: pd.DataFrame = FRAME) -> int:
            with open_panel(settings_of({"name": "anna", **backend})) as panel:
                return panel.judge("anna", pairs_of(frame), store).asked

        plain = {"backend": "replay:judgments.csv#anna"}
        assert asked(plain) == 4
        assert asked(plain) == 0
        assert asked({**plain, "grades": {0: 0, 1: 1, 2: 2, 3: 2}}) == 4, "another grade map"
        assert asked({**plain, "name": "other"} | {"name": "anna"}, FRAME.assign(text="new")) == 4, "texts"
        recorded.write_text(FILE.replace("1,a,anna,1", "1,a,anna,0"))
        assert asked(plain) == 4, "another recording"


def test_shards_and_calls_are_spans_under_the_caller_s_span_although_they_run_on_another_thread(
    tmp_path: Path, recorded: Path, settings_of: SettingsOf
) -> None:
    tracer = Tracer(tmp_path / "traces.sqlite", "trace-1")
    settings = settings_of("replay:judgments.csv#ben", tracing={"sample": 0})
    with (
        JudgmentStore(f"sqlite:///{tmp_path / 'j.sqlite'}") as store,
        open_panel(settings) as panel,
        tracer.active(),
        span("judge node", SpanKind.NODE) as node,
    ):
        panel.judge("ben", pairs_of(FRAME.iloc[:2]), store)
        judgments = panel.judgments(FRAME.iloc[:2], store)
    tracer.close()
    spans = read_spans(tmp_path / "traces.sqlite", "trace-1")
    (shard,) = [item for item in spans if item.kind is SpanKind.SHARD]
    assert shard.parent_id == node.span_id
    assert (shard.inputs, shard.outputs["failed"]) == ({"judge": "ben", "pairs": 2}, 1)
    (call,) = [item for item in spans if item.kind is SpanKind.CALL]
    assert call.parent_id == shard.span_id
    assert call.inputs == {"query_id": "1", "doc_id": "b", "path": 0}
    assert call.error == "out_of_range: recorded 9"
    assert {judgment.trace_id for judgment in judgments} == {"trace-1"}


def test_the_sampled_share_of_calls_is_the_same_every_time(tmp_path: Path, settings_of: SettingsOf) -> None:
    frame = pd.DataFrame({"query_id": [str(n) for n in range(300)], "doc_id": "d", "query": "q", "text": "t"})
    truth = {(row.query_id, row.doc_id): 1 for row in frame.itertuples()}
    kept = []
    for attempt in range(2):
        tracer = Tracer(tmp_path / "traces.sqlite", f"trace-{attempt}")
        with (
            JudgmentStore(f"sqlite:///{tmp_path / f'{attempt}.sqlite'}") as store,
            open_panel(settings_of("simulated:#s", tracing={"sample": 0.1}), truth) as panel,
            tracer.active(),
        ):
            panel.judge("s", pairs_of(frame), store)
        tracer.close()
        spans = read_spans(tmp_path / "traces.sqlite", f"trace-{attempt}")
        kept.append({item.inputs["query_id"] for item in spans if item.kind is SpanKind.CALL})
    assert kept[0] == kept[1]
    assert 15 <= len(kept[0]) <= 45
