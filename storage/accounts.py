"""What each judge has taken, from the ledger of calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from serm.storage.judgment_tables import CALLS, JUDGMENTS, STARTED, judgments_of, paid_by

_SUMMED: Final = ("requests", "tokens_in", "tokens_out", "cost")


@dataclass(frozen=True, slots=True)
class Account:
    """One judge's account. In a debate a judge has a second one, under `NAME/debate`."""

    judge: str
    judgments: int = 0
    failures: int = 0  # judgments without a grade
    calls: int = 0  # finished ones behind a server: one a path; failed, repeated and trial ones too
    requests: int = 0  # of these calls, as all that follows
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0  # in the currency of the price table


def select_judgments(trace_id: str | None, workspace: str | None) -> sa.Select[Any]:
    """A row a judge: judge, judgments, failures; of all judgments that a workspace used or of one trace's."""
    counted = (sa.func.count().label("judgments"), sa.func.count(JUDGMENTS.c.failure).label("failures"))
    return judgments_of(workspace, trace_id, JUDGMENTS.c.judge, *counted).group_by(JUDGMENTS.c.judge)


def select_calls(trace_id: str | None, workspace: str | None) -> sa.Select[Any]:
    """A row a judge: judge, calls, requests, tokens_in, tokens_out, cost; of all calls of a workspace or of
    one trace's."""
    judge = sa.func.coalesce(CALLS.c.judge, JUDGMENTS.c.judge, "").label("judge")
    columns: list[sa.ColumnElement[Any]] = [judge, sa.func.count().label("calls")]
    columns += [sa.func.sum(CALLS.c[name]).label(name) for name in _SUMMED]
    joined = CALLS.outerjoin(JUDGMENTS, CALLS.c.cache_key == JUDGMENTS.c.cache_key)
    statement = sa.select(*columns).select_from(joined).where(paid_by(CALLS, workspace)).group_by(judge)
    return statement if trace_id is None else statement.where(CALLS.c.trace_id == trace_id)


def select_cost(workspace: str | None) -> sa.Select[Any]:
    """One number: what a workspace has paid for all its finished calls."""
    return sa.select(sa.func.coalesce(sa.func.sum(CALLS.c.cost), 0.0)).where(paid_by(CALLS, workspace))


def lost(marks: sa.Table, session: str, workspace: str | None) -> sa.ColumnElement[bool]:
    """The marks that earlier sessions of a workspace have left. One process works in it at a time, so that
    none of its other sessions is alive; of other workspaces nobody knows."""
    return sa.and_(marks.c.session != session, paid_by(marks, workspace))


def select_lost(marks: sa.Table, session: str, workspace: str | None) -> sa.Select[Any]:
    """One number: how many marks were left."""
    return sa.select(sa.func.count()).select_from(marks).where(lost(marks, session, workspace))


def select_lost_cost(session: str, workspace: str | None) -> sa.Select[Any]:
    """One number: what lost calls may have cost, each as much as its judge's dearest; of a judge that has
    ended none, as the dearest of all."""
    dearest = (
        sa.select(CALLS.c.judge, sa.func.max(CALLS.c.cost).label("cost"))
        .where(paid_by(CALLS, workspace))
        .group_by(CALLS.c.judge)
        .subquery()
    )
    of_all = sa.select(sa.func.max(CALLS.c.cost)).where(paid_by(CALLS, workspace)).scalar_subquery()
    return (
        sa.select(sa.func.coalesce(sa.func.sum(sa.func.coalesce(dearest.c.cost, of_all)), 0.0))
        .select_from(STARTED.outerjoin(dearest, STARTED.c.judge == dearest.c.judge))
        .where(lost(STARTED, session, workspace))
    )
