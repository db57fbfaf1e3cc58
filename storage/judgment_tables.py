"""The tables of the judgments store, and a judgment as one of their rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from serm.core.columns import DISTRIBUTION
from serm.core.records import Answer, Failure, FailureKind, GradeDistribution, Judgment

METADATA: Final = sa.MetaData()

JUDGMENTS: Final = sa.Table(
    "judgments",
    METADATA,
    sa.Column("cache_key", sa.String(64), primary_key=True),
    sa.Column("query_id", sa.Text, nullable=False),
    sa.Column("doc_id", sa.Text, nullable=False),
    sa.Column("judge", sa.Text, nullable=False),
    sa.Column("grade", sa.Integer),
    sa.Column("failure", sa.Text),
    sa.Column("message", sa.Text, nullable=False),  # of the failure
    *(sa.Column(name, sa.Float) for name in DISTRIBUTION),
    sa.Column("paths", sa.Text, nullable=False),  # JSON list
    sa.Column("rationale", sa.Text, nullable=False),
    sa.Column("tokens_in", sa.BigInteger, nullable=False),
    sa.Column("tokens_out", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
    sa.Column("latency", sa.Float, nullable=False),
    sa.Column("requests", sa.Integer, nullable=False),
    sa.Column("prompt_hash", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("revision", sa.Text, nullable=False),
    sa.Column("simulated", sa.Boolean, nullable=False),
    sa.Column("trace_id", sa.Text, nullable=False),
    sa.Column("outside", sa.Float),
    sa.Column("written", sa.Float, nullable=False),  # seconds since the epoch
    sa.Index("judgments_of_pair", "query_id", "doc_id"),
    sa.Index("judgments_of_trace", "trace_id"),
)

CALLS: Final = sa.Table(
    "calls",  # every finished call of a remote judge, failed ones too: the ledger of what was paid for
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("cache_key", sa.String(64), nullable=False),
    sa.Column("path", sa.Integer, nullable=False),
    sa.Column("grade", sa.Integer),
    sa.Column("failure", sa.Text),
    sa.Column("message", sa.Text, nullable=False),
    *(sa.Column(name, sa.Float) for name in DISTRIBUTION),
    sa.Column("rationale", sa.Text, nullable=False),
    sa.Column("tokens_in", sa.BigInteger, nullable=False),
    sa.Column("tokens_out", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
    sa.Column("latency", sa.Float, nullable=False),
    sa.Column("requests", sa.Integer, nullable=False),
    sa.Column("trace_id", sa.Text, nullable=False),
    sa.Column("outside", sa.Float),
    sa.Column("judge", sa.Text),  # null in rows of earlier versions, whose judgment tells it
    sa.Column("workspace", sa.Text),  # that paid; null where the database is its own, and in earlier rows
    sa.Index("calls_of_judgment", "cache_key"),
    sa.Index("calls_of_trace", "trace_id"),
)

STARTED: Final = sa.Table(
    "started",  # calls in flight; those left by a session that is gone were lost with it
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("session", sa.String(32), nullable=False),
    sa.Column("cache_key", sa.String(64), nullable=False),
    sa.Column("path", sa.Integer, nullable=False),
    sa.Column("judge", sa.Text),
    sa.Column("workspace", sa.Text),  # as of a call
)

USED: Final = sa.Table(
    "used",  # in a database of several workspaces: what each of them has asked for or found asked
    METADATA,
    sa.Column("workspace", sa.String(64), primary_key=True),
    sa.Column("cache_key", sa.String(64), primary_key=True),
    sa.Column("trace_id", sa.Text, nullable=False),  # in which it first did
    sa.Index("used_of_judgment", "cache_key"),
)

INSERT_CALL: Final = sa.insert(CALLS)
INSERT_MARK: Final = sa.insert(STARTED)
DELETE_MARK: Final = sa.delete(STARTED).where(STARTED.c.id == sa.bindparam("mark"))

_PLAIN: Final = tuple(
    field.name for field in fields(Judgment) if field.name not in ("failure", "distribution", "paths")
)
_ANSWER: Final = ("grade", "rationale", "tokens_in", "tokens_out", "cost", "latency", "requests", "outside")


@dataclass(frozen=True, slots=True)
class Call:
    """One finished call of a remote judge: one path of one judgment."""

    key: str  # cache key of the judgment
    path: int
    answer: Answer
    trace_id: str
    judge: str


@dataclass(frozen=True, slots=True)
class Totals:
    """What judgments took."""

    judgments: int = 0
    failures: int = 0
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0


def upsert_judgment(dialect: str) -> sa.Insert:
    """Insert judgments, each in place of a failure that is there under its cache key. A grade stands: of two
    workspaces that ask at a time the first to answer has said it, and nobody's timeout takes it back."""
    statement = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(JUDGMENTS)
    changes = {column.name: statement.excluded[column.name] for column in JUDGMENTS.columns}
    del changes["cache_key"]
    return statement.on_conflict_do_update(
        index_elements=["cache_key"], set_=changes, where=JUDGMENTS.c.grade.is_(None)
    )


def insert_used(dialect: str) -> sa.Insert:
    """Note the use of judgments; the first use by a workspace stands."""
    return (sqlite.insert if dialect == "sqlite" else postgresql.insert)(USED).on_conflict_do_nothing()


def judgments_of(workspace: str | None, trace_id: str | None, *columns: Any) -> sa.Select[Any]:
    """Columns of the judgments that a workspace has used, of all or of one trace; None: of all workspaces.

    What nobody is known to have used, an earlier version wrote: it counts for every workspace.
    """
    if workspace is None:
        statement = sa.select(*columns).select_from(JUDGMENTS)
        return statement if trace_id is None else statement.where(JUDGMENTS.c.trace_id == trace_id)
    own = sa.and_(USED.c.cache_key == JUDGMENTS.c.cache_key, USED.c.workspace == workspace)
    other = USED.alias()
    nobodys = ~sa.exists().where(other.c.cache_key == JUDGMENTS.c.cache_key)
    seen = sa.or_(USED.c.workspace.is_not(None), nobodys)
    statement = sa.select(*columns).select_from(JUDGMENTS.outerjoin(USED, own)).where(seen)
    trace = sa.func.coalesce(USED.c.trace_id, JUDGMENTS.c.trace_id)
    return statement if trace_id is None else statement.where(trace == trace_id)


def judgment_row(judgment: Judgment) -> dict[str, Any]:
    """All columns of JUDGMENTS but `written`."""
    return {
        **{name: getattr(judgment, name) for name in _PLAIN},
        **_failure_columns(judgment.failure),
        **_distribution_columns(judgment.distribution),
        "paths": json.dumps(judgment.paths),
    }


def judgment_of(row: Mapping[str, Any]) -> Judgment:
    return Judgment(
        **{name: row[name] for name in _PLAIN},
        failure=_failure(row),
        distribution=_distribution(row),
        paths=tuple(json.loads(row["paths"])),
    )


def paid_by(table: sa.Table, workspace: str | None) -> sa.ColumnElement[bool]:
    """The rows of a workspace, those without one among them: nobody else may have paid for them. None: all
    rows, as of a database that is the workspace's own."""
    if workspace is None:
        return sa.true()
    return sa.or_(table.c.workspace == workspace, table.c.workspace.is_(None))


def call_row(call: Call) -> dict[str, Any]:
    """All columns of CALLS but `id` and `workspace`."""
    answer = call.answer
    return {
        **{name: getattr(answer, name) for name in _ANSWER},
        **_failure_columns(answer.failure),
        **_distribution_columns(answer.distribution),
        "cache_key": call.key,
        "path": call.path,
        "trace_id": call.trace_id,
        "judge": call.judge,
    }


def answer_of(row: Mapping[str, Any]) -> Answer:
    return Answer(
        **{name: row[name] for name in _ANSWER}, failure=_failure(row), distribution=_distribution(row)
    )


def _failure_columns(failure: Failure | None) -> dict[str, str | None]:
    return {
        "failure": failure.kind.value if failure else None,
        "message": failure.message if failure else "",
    }


def _failure(row: Mapping[str, Any]) -> Failure | None:
    return None if row["failure"] is None else Failure(FailureKind(row["failure"]), row["message"])


def _distribution_columns(distribution: GradeDistribution | None) -> dict[str, float | None]:
    values = distribution if distribution is not None else (None,) * len(DISTRIBUTION)
    return dict(zip(DISTRIBUTION, values, strict=True))


def _distribution(row: Mapping[str, Any]) -> GradeDistribution | None:
    if row[DISTRIBUTION[0]] is None:
        return None
    p0, p1, p2, p3 = (float(row[name]) for name in DISTRIBUTION)
    return (p0, p1, p2, p3)
