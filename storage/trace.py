"""Spans of what ran, written as they end to one SQLite table, so that a killed round keeps its trace.

A round has one trace id, whatever number of processes it took. `traces_mlflow` exports a finished round
as one MLflow trace; MLflow's own tracer is not in the loop, because a span of it costs about 2 ms.

Use from anywhere below a tracer:

    with span("uncertainty_scorer", SpanKind.TOOL, top=50) as current:
        current.outputs = {"candidates": "c1"}
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from serm.core.discretion import discreet
from serm.core.errors import StorageError
from serm.core.text import keepable
from serm.storage.artifacts import storage_errors

_RULES: Final = "rules"
"""Who decided where no model did, as agents say it of themselves."""


class SpanKind(StrEnum):
    ROUND = "round"
    GRAPH = "graph"
    NODE = "node"
    AGENT = "agent"
    MODEL = "model"  # one turn of the chat model (or the rules) that decides for an agent
    TOOL = "tool"
    SHARD = "shard"  # one shard of pairs x one judge
    CALL = "call"  # one LLM call: a sampled share, and every failure


@dataclass
class Span:
    """One span; `outputs`, `attributes` and `error` are filled while it is open."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: SpanKind
    started: int  # ns since the epoch
    inputs: dict[str, Any]
    outputs: Any = None
    attributes: dict[str, Any] = field(default_factory=dict)
    ended: int = 0  # ns
    error: str = ""


_SCHEMA = """
CREATE TABLE IF NOT EXISTS spans (
    span_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, parent_id TEXT, name TEXT NOT NULL, kind TEXT NOT NULL,
    started INTEGER NOT NULL, ended INTEGER NOT NULL, inputs TEXT NOT NULL, outputs TEXT NOT NULL,
    attributes TEXT NOT NULL, error TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS spans_of_trace ON spans (trace_id, started);
"""


class Tracer:
    """Writes the spans of one trace. Safe to use from several threads."""

    def __init__(self, database: Path, trace_id: str) -> None:
        self.trace_id, self._database = trace_id, database
        self._lock = threading.Lock()
        with storage_errors(database):
            self._connection = sqlite3.connect(database, check_same_thread=False, timeout=30)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_SCHEMA)

    def write(self, item: Span) -> None:
        """Keep a span. Raises StorageError where the disk is full or another program holds the table."""
        row = (
            item.span_id,
            item.trace_id,
            item.parent_id,
            keepable(item.name),
            item.kind.value,
            item.started,
            item.ended,
            _dump(item.inputs),
            _dump(item.outputs),
            _dump(item.attributes),
            keepable(item.error),
        )
        with storage_errors(self._database), self._lock, self._connection:
            self._connection.execute(
                f"INSERT OR REPLACE INTO spans VALUES ({','.join('?' * len(row))})",
                row,
            )

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def active(self, parent: str | None = None) -> Iterator[None]:
        """Make this the tracer that `span` writes to, in this context and in what it starts.

        `parent` is the id of the span that the next ones belong under where nothing is being traced yet:
        work may go on in a new process. Inside a span of this tracer the next ones belong under that span.
        """
        inside = _TRACER.get() is self
        tokens = _TRACER.set(self), _PARENT.set(_PARENT.get() if inside else parent)
        try:
            yield
        finally:
            _TRACER.reset(tokens[0])
            _PARENT.reset(tokens[1])


_TRACER: ContextVar[Tracer | None] = ContextVar("serm_tracer", default=None)
_PARENT: ContextVar[str | None] = ContextVar("serm_parent_span", default=None)


def current_trace_id() -> str:
    """The trace id in force, or "" where nothing is traced."""
    tracer = _TRACER.get()
    return tracer.trace_id if tracer else ""


@contextmanager
def span(name: str, kind: SpanKind, /, **inputs: Any) -> Iterator[Span]:
    """Open a span under the current one; it ends with the block, or where `ended` was set inside, then.

    Without a tracer it is a plain record that nobody keeps.
    """
    tracer = _TRACER.get()
    item = Span(
        trace_id=tracer.trace_id if tracer else "",
        span_id=uuid.uuid4().hex[:16],
        parent_id=_PARENT.get(),
        name=name,
        kind=kind,
        started=time.time_ns(),
        inputs=inputs,
    )
    token = _PARENT.set(item.span_id)
    try:
        try:
            yield item
        finally:
            _PARENT.reset(token)
            item.ended = item.ended or time.time_ns()
    except BaseException as error:
        item.error = item.error or discreet(f"{type(error).__name__}: {error}")
        with suppress(StorageError):  # the error inside came first, and is what is to be told
            _keep(tracer, item)
        raise
    _keep(tracer, item)


def _keep(tracer: Tracer | None, item: Span) -> None:
    if tracer:
        tracer.write(item)


def read_spans(database: Path, trace_id: str, kind: SpanKind | None = None) -> list[Span]:
    """A trace's spans, or those of a kind, in the order in which they started; [] where there are none."""
    if not database.is_file():
        return []
    with storage_errors(database), closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT trace_id, span_id, parent_id, name, kind, started, inputs, outputs, attributes, ended,"
            " error FROM spans WHERE trace_id = ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY started, rowid",
            (trace_id, kind),
        ).fetchall()
    return [
        Span(
            trace_id=row[0],
            span_id=row[1],
            parent_id=row[2],
            name=row[3],
            kind=SpanKind(row[4]),
            started=row[5],
            inputs=json.loads(row[6]),
            outputs=json.loads(row[7]),
            attributes=json.loads(row[8]),
            ended=row[9],
            error=row[10],
        )
        for row in rows
    ]


def worked(database: Path, trace_id: str, since: int) -> float:
    """Seconds in which a round was worked on: those that its spans cover, and those since `since` (ns), when
    the step in progress began. Nights between two processes and a person's thinking are none of them."""
    with storage_errors(database), closing(sqlite3.connect(database)) as connection:
        times = connection.execute(
            "SELECT started, ended FROM spans WHERE trace_id = ? AND kind != ? ORDER BY started",
            (trace_id, SpanKind.ROUND),
        ).fetchall()
    covered, until = 0, 0
    for started, ended in sorted([*times, (since, time.time_ns())]):
        covered += max(0, ended - max(started, until))
        until = max(until, ended)
    return covered / 1e9


def fallen_back(database: Path, trace_id: str) -> dict[str, dict[str, str]]:
    """Agents of a trace whose model did not decide, the last time, and whose rules did in its place: by agent
    the `model` and the `reason`."""
    found: dict[str, dict[str, str]] = {}
    for item in read_spans(database, trace_id, SpanKind.AGENT):
        said = item.attributes
        if said.get("fell_back"):
            found[item.name] = {"model": str(said["attempted"]), "reason": str(said["reason"])}
        elif said.get("policy", _RULES) != _RULES:  # after a kill the model did decide
            found.pop(item.name, None)
    return found


def _dump(value: Any) -> str:
    return keepable(json.dumps(value, ensure_ascii=False, default=str))
