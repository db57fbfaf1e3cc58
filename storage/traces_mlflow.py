"""Export of one round's spans to MLflow: one round, one trace, however many processes the round took."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import mlflow
from mlflow.entities import SpanStatus, SpanStatusCode, SpanType
from mlflow.tracing.constant import SpanAttributeKey

from serm.core.discretion import without_login
from serm.core.errors import WorkspaceError
from serm.storage.mlflow_errors import mlflow_errors
from serm.storage.span_tree import SpanTree, build_tree
from serm.storage.trace import Span, SpanKind, read_spans

TRACE_TAG: Final = "serm.trace_id"
SPANS_TAG: Final = "serm.spans"
"""How many spans a whole trace has: an export that was killed half-way has fewer, and is made again."""

_TYPES: Final = {
    SpanKind.ROUND: SpanType.WORKFLOW,
    SpanKind.GRAPH: SpanType.WORKFLOW,
    SpanKind.NODE: SpanType.TASK,
    SpanKind.AGENT: SpanType.AGENT,
    SpanKind.MODEL: SpanType.CHAT_MODEL,
    SpanKind.TOOL: SpanType.TOOL,
    SpanKind.SHARD: SpanType.TASK,
    SpanKind.CALL: SpanType.LLM,
}
_COUNTED: Final = (SpanKind.MODEL, SpanKind.SHARD)
"""Spans whose tokens MLflow adds up for the trace. CALL spans are a sample of what SHARD spans hold."""
_FLUSH: Final = 500  # spans; MLflow's queue drops what comes once it holds 1,000
_REMEDY: Final = "Check `storage.mlflow`; the spans are kept, and the same command exports them again."


def export_round(
    tracer_db: Path, trace_id: str, mlflow_uri: str, experiment: str, tags: Mapping[str, str]
) -> str:
    """Find or make the MLflow trace of the round `trace_id`, and return MLflow's id of it.

    All spans of the table come along; those whose parent a kill took stand under the round's span. Called
    again it finds the trace by its tag `serm.trace_id`; what a kill left half-exported is deleted first.
    Raises WorkspaceError where there are no spans or MLflow cannot be reached.
    """
    spans = read_spans(tracer_db, trace_id)
    if not spans:
        raise WorkspaceError(f"{tracer_db} holds no spans of the trace {trace_id}.")
    tree = build_tree(spans)
    count = sum(1 for _ in tree.walk())
    failed, asked = "did not take the trace", f"the trace {trace_id}"
    with mlflow_errors(mlflow_uri, failed, _REMEDY, asked), _mlflow_at(mlflow_uri):
        experiment_id = experiment_of(mlflow.MlflowClient(), mlflow_uri, experiment)
        found = _find(experiment_id, trace_id, count)
        if found is None:
            _write(tree, experiment_id, {**tags, TRACE_TAG: trace_id, SPANS_TAG: str(count)})
            found = _find(experiment_id, trace_id, count)  # MLflow swallows what goes wrong on its way
    if found is None:
        raise WorkspaceError(f"MLflow at {without_login(mlflow_uri)} did not keep the whole trace.", _REMEDY)
    return found


def _write(tree: SpanTree, experiment_id: str, tags: dict[str, str]) -> None:
    live: dict[str, Any] = {}
    for _, item in tree.walk():
        is_root = item.span_id == tree.root.span_id
        live[item.span_id] = mlflow.start_span_no_context(
            item.name,
            span_type=_TYPES[item.kind],
            parent_span=None if is_root else live.get(item.parent_id or "", live.get(tree.root.span_id)),
            inputs=item.inputs or None,
            # Every span bears the trace's name, so that a killed export can be told from other traces.
            attributes={TRACE_TAG: item.trace_id, "serm.kind": item.kind.value, **_attributes(item)},
            tags=tags if is_root else None,
            experiment_id=experiment_id if is_root else None,
            start_time_ns=item.started,
        )
    # The root comes last: its end is what closes the trace.
    for number, (_, item) in enumerate(reversed(list(tree.walk())), start=1):
        live[item.span_id].end(
            outputs=item.outputs,
            status=SpanStatus(SpanStatusCode.ERROR, item.error) if item.error else SpanStatusCode.OK.value,
            end_time_ns=max(item.ended, item.started),
        )
        if number % _FLUSH == 0:
            mlflow.flush_trace_async_logging()
    # Each flush waits for MLflow's threads to look up, up to a second: this one need not start them again.
    mlflow.flush_trace_async_logging(terminate=True)


def _attributes(item: Span) -> dict[str, Any]:
    found = dict(item.attributes)
    if item.error:
        found["error"] = item.error
    told = {**(item.outputs if isinstance(item.outputs, dict) else {}), **found}  # a shard's are outputs
    tokens_in, tokens_out = (int(told.get(key) or 0) for key in ("tokens_in", "tokens_out"))
    if item.kind in _COUNTED and tokens_in + tokens_out:
        found[SpanAttributeKey.CHAT_USAGE] = {
            "input_tokens": tokens_in,
            "output_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
        }
    return found


def _find(experiment_id: str, trace_id: str, count: int) -> str | None:
    """The whole trace of that name, or None once what a killed export left is deleted."""
    by_tag = _search(experiment_id, f"tag.`{TRACE_TAG}` = '{trace_id}'")
    for trace in by_tag:
        if trace.info.tags.get(SPANS_TAG) == str(count) == str(len(trace.data.spans)):
            return str(trace.info.trace_id)
    # A trace gets its tags when its root ends; before that a kill leaves it open and untagged.
    unfinished = [
        trace
        for trace in _search(experiment_id, "attributes.status = 'IN_PROGRESS'")
        if any(span.attributes.get(TRACE_TAG) == trace_id for span in trace.data.spans)
    ]
    stale = sorted({str(trace.info.trace_id) for trace in [*by_tag, *unfinished]})
    if stale:
        mlflow.MlflowClient().delete_traces(experiment_id, trace_ids=stale)
    return None


def _search(experiment_id: str, condition: str) -> list[Any]:
    found = mlflow.search_traces(
        locations=[experiment_id], filter_string=condition, return_type="list", max_results=100
    )
    return list(found)


def experiment_of(client: mlflow.MlflowClient, uri: str, name: str) -> str:
    """The experiment of that name, made where there is none."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # MLflow's own default for SQLite is ./mlruns under whatever folder the user stands in.
    beside = (
        Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts" if uri.startswith("sqlite:///") else None
    )
    return str(client.create_experiment(name, artifact_location=beside.as_uri() if beside else None))


_VARIABLES: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "true",
    "MLFLOW_ASYNC_TRACE_LOGGING_MAX_SPAN_BATCH_SIZE": "256",
    "MLFLOW_ASYNC_TRACE_LOGGING_MAX_WORKERS": "1",  # SQLite has one writer
}
"""One transaction for many spans: 1,000 spans took 3 s, and 48 s one by one (each waits for the disk)."""


@contextmanager
def _mlflow_at(uri: str) -> Iterator[None]:
    """MLflow's global state set to `uri` and to batches of spans, its INFO lines off; then as before."""
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    with _environment(_VARIABLES):
        try:
            with quiet_mlflow():
                mlflow.set_tracking_uri(uri)
                mlflow.tracing.reset()
                yield
                mlflow.flush_trace_async_logging(terminate=True)
        finally:
            mlflow.set_tracking_uri(before)
            mlflow.tracing.reset()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def quiet_mlflow() -> Iterator[None]:
    """Keep MLflow's and Alembic's INFO lines (creating tables and the like) off the console inside, and the
    addresses of runs, which MLflow prints where it asks a server."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with _environment({"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
