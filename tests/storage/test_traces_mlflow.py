"""One round is one MLflow trace, with all its spans, whatever was killed in between."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from serm.core.errors import WorkspaceError
from serm.storage.span_tree import build_tree
from serm.storage.trace import Span, SpanKind, Tracer, read_spans, span
from serm.storage.traces_mlflow import export_round, quiet_mlflow

pytestmark = pytest.mark.slow  # MLflow's own queue and tables

TRACE = "feedc0de"


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, which take seconds to make."""
    folder = tmp_path_factory.mktemp("mlflow")
    with quiet_mlflow():
        mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def database(tmp_path: Path, blank: Path) -> Path:
    """A round of nine spans: round > 2 nodes > agent > model, tool; two shards; a call that failed."""
    shutil.copy(blank, tmp_path / "mlflow.db")
    path = tmp_path / "traces.sqlite"
    tracer = Tracer(path, TRACE)
    with tracer.active(), span("round 1", SpanKind.ROUND, window="web"):
        with span("mine", SpanKind.NODE), span("drift", SpanKind.AGENT) as agent:
            agent.attributes["fell_back"] = False
            with span("rules", SpanKind.MODEL):
                pass
            with span("drift_test", SpanKind.TOOL, top=5) as tool:
                tool.outputs = {"p": 0.01}
        with span("annotate", SpanKind.NODE):
            for judge in ("a", "b"):
                with span(f"shard 0 x {judge}", SpanKind.SHARD) as shard:
                    shard.outputs = {"tokens_in": 100, "tokens_out": 10, "cost": 0.5}
                    if judge == "b":
                        with pytest.raises(TimeoutError), span("call", SpanKind.CALL):
                            raise TimeoutError("60 s")
    tracer.close()
    return path


def exported(tmp_path: Path, trace_id: str = TRACE) -> list[mlflow.entities.Trace]:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    try:
        experiment = mlflow.get_experiment_by_name("serm")
        found = mlflow.search_traces(locations=[experiment.experiment_id], return_type="list")
        return [trace for trace in found if trace.info.tags.get("serm.trace_id") in (trace_id, None)]
    finally:
        mlflow.set_tracking_uri(None)


def export(tmp_path: Path, trace_id: str = TRACE) -> str:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    return export_round(tmp_path / "traces.sqlite", trace_id, uri, "serm", {"serm.round": "1"})


def test_one_round_is_one_mlflow_trace_with_all_spans(
    tmp_path: Path, database: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = export(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / "mlruns").exists()

    (trace,) = exported(tmp_path)
    assert trace.info.trace_id == first
    assert trace.info.tags["serm.round"] == "1"
    spans = {item.name: item for item in trace.data.spans}
    assert len(trace.data.spans) == 9
    assert spans["drift_test"].parent_id == spans["drift"].span_id
    assert spans["drift_test"].span_type == "TOOL"
    assert spans["drift_test"].inputs == {"top": 5}
    assert spans["drift_test"].outputs == {"p": 0.01}
    assert spans["call"].status.status_code == "ERROR"
    original = {item.name: item for item in read_spans(database, TRACE)}
    assert spans["mine"].start_time_ns == original["mine"].started
    assert spans["mine"].end_time_ns == original["mine"].ended
    assert trace.info.token_usage == {"input_tokens": 200, "output_tokens": 20, "total_tokens": 220}


def test_an_export_that_is_made_twice_finds_its_trace(tmp_path: Path, database: Path) -> None:
    assert export(tmp_path) == export(tmp_path)
    assert len(exported(tmp_path)) == 1


def test_an_export_that_was_killed_half_way_leaves_one_whole_trace(tmp_path: Path, database: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "import mlflow, mlflow.entities\n"
        "from serm.storage.traces_mlflow import export_round\n"
        "end = mlflow.entities.LiveSpan.end\n"
        "def dying(self, *args, **kwargs):\n"
        "    end(self, *args, **kwargs)\n"
        "    if self.name == 'drift':\n"
        "        mlflow.flush_trace_async_logging()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "mlflow.entities.LiveSpan.end = dying\n"
        f"export_round(Path({str(database)!r}), {TRACE!r}, 'sqlite:///{tmp_path}/mlflow.db', 'serm', {{}})\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    (half,) = exported(tmp_path)
    assert len(half.data.spans) < 9

    whole = export(tmp_path)
    (trace,) = exported(tmp_path)
    assert trace.info.trace_id == whole
    assert len(trace.data.spans) == 9


def test_spans_whose_parent_was_killed_stand_under_the_round(tmp_path: Path, database: Path) -> None:
    tracer = Tracer(database, "killed")
    orphan = Span("killed", "s1", "gone", "left by the killed process", SpanKind.TOOL, 10, {}, ended=20)
    tracer.write(orphan)
    with tracer.active(), span("round 2", SpanKind.ROUND), span("mine", SpanKind.NODE):
        pass
    tracer.close()

    export(tmp_path, "killed")
    (trace,) = (item for item in exported(tmp_path, "killed") if len(item.data.spans) == 3)
    spans = {item.name: item for item in trace.data.spans}
    assert spans["left by the killed process"].parent_id == spans["round 2"].span_id
    assert spans["round 2"].start_time_ns == 10


def test_a_round_that_never_ended_gets_a_root_of_its_own() -> None:
    left = [
        Span("t", "b", "round", "mine", SpanKind.NODE, 10, {}, ended=30),
        Span("t", "c", "b", "tool", SpanKind.TOOL, 12, {}, ended=20),
    ]
    tree = build_tree(left)
    assert [(depth, item.name) for depth, item in tree.walk()] == [
        (0, "round (not finished)"),
        (1, "mine"),
        (2, "tool"),
    ]
    assert (tree.root.started, tree.root.ended) == (10, 30)


def test_a_trace_without_spans_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no spans of the trace nowhere"):
        export_round(tmp_path / "traces.sqlite", "nowhere", "sqlite:///x.db", "serm", {})


def test_a_round_of_more_spans_than_mlflows_queue_holds_loses_none(tmp_path: Path, database: Path) -> None:
    tracer = Tracer(database, "long")
    with tracer.active(), span("round 3", SpanKind.ROUND):
        for number in range(1_100):
            with span(f"call {number}", SpanKind.CALL):
                pass
    tracer.close()
    export(tmp_path, "long")
    (trace,) = exported(tmp_path, "long")
    assert len(trace.data.spans) == 1_101


def test_a_server_that_does_not_take_the_trace_is_named_without_its_login(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = "http://me:s3cret@127.0.0.1:9"
    with pytest.raises(
        WorkspaceError, match=r"MLflow at http://127\.0\.0\.1:9 did not take the trace"
    ) as raised:
        export_round(database, TRACE, uri, "serm", {})
    assert "s3cret" not in str(raised.value)


def test_an_error_is_traced_without_logins(tmp_path: Path) -> None:
    tracer = Tracer(tmp_path / "t.sqlite", "t")
    with tracer.active(), pytest.raises(RuntimeError), span("call", SpanKind.CALL):
        raise RuntimeError("http://me:s3cret@host/v1 is gone")
    tracer.close()
    (item,) = read_spans(tmp_path / "t.sqlite", "t")
    assert item.error == "RuntimeError: http://host/v1 is gone"
