"""What the turns of agents took: a table beside the judgments, so that one ledger holds all that is paid."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import sqlalchemy as sa

from serm.storage.judgment_tables import METADATA, paid_by

TURNS: Final = sa.Table(
    "agent_turns",  # every turn of a chat model that decides for an agent, as far as it was or may be paid
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("tokens_in", sa.BigInteger, nullable=False),
    sa.Column("tokens_out", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
    sa.Column("trace_id", sa.Text, nullable=False),
    sa.Column("written", sa.Float, nullable=False),  # seconds since the epoch
    sa.Column("key", sa.Text, nullable=True),  # hash of the conversation that it answers; null: not kept
    sa.Column("answer", sa.Text, nullable=True),  # JSON of the message
    sa.Column("workspace", sa.Text, nullable=True),  # that paid; null as of a call
    sa.Index("agent_turns_of_trace", "trace_id"),
    sa.Index("agent_turns_of_key", "key"),
)

IN_FLIGHT: Final = sa.Table(
    "agent_turns_started",  # turns in flight; those left by a session that is gone were lost with it
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("session", sa.String(32), nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),  # the most that it can have cost
    sa.Column("trace_id", sa.Text, nullable=False),
    sa.Column("workspace", sa.Text, nullable=True),  # as of a call
)


@dataclass(frozen=True, slots=True)
class AgentTurn:
    """One turn that was paid for; under a `key` its answer is kept, so that a kill does not cost it again."""

    agent: str
    model: str
    tokens_in: int
    tokens_out: int
    cost: float  # in the currency of the price table
    trace_id: str
    key: str | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class TurnTotals:
    """What turns took."""

    turns: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0


INSERT_TURN: Final = sa.insert(TURNS)
INSERT_TURN_MARK: Final = sa.insert(IN_FLIGHT)
DELETE_TURN_MARK: Final = sa.delete(IN_FLIGHT).where(IN_FLIGHT.c.id == sa.bindparam("mark"))


def turn_row(turn: AgentTurn, written: float) -> dict[str, Any]:
    """All columns of TURNS but `id` and `workspace`."""
    return {**asdict(turn), "written": written}


def mark_row(turn: AgentTurn) -> dict[str, Any]:
    """The columns of IN_FLIGHT that say which turn was asked for; its `cost` is the most that it can be."""
    return {"agent": turn.agent, "model": turn.model, "cost": turn.cost, "trace_id": turn.trace_id}


def select_in_flight_cost(workspace: str | None) -> sa.Select[Any]:
    """One number: what the turns of a workspace that are in flight, or were lost, can have cost at most."""
    total = sa.func.coalesce(sa.func.sum(IN_FLIGHT.c.cost), 0.0)
    return sa.select(total).where(paid_by(IN_FLIGHT, workspace))


def select_totals(trace_id: str | None, workspace: str | None) -> sa.Select[Any]:
    """One row: turns, tokens_in, tokens_out, cost; of all turns of a workspace or of one trace's."""
    sums = [
        sa.func.coalesce(sa.func.sum(TURNS.c[name]), 0).label(name)
        for name in ("tokens_in", "tokens_out", "cost")
    ]
    statement = sa.select(sa.func.count().label("turns"), *sums).where(paid_by(TURNS, workspace))
    return statement if trace_id is None else statement.where(TURNS.c.trace_id == trace_id)


def select_answer(key: str, workspace: str | None) -> sa.Select[Any]:
    """One row, `answer`, where the turn under this key was answered and kept."""
    kept = sa.and_(TURNS.c.key == key, TURNS.c.answer.is_not(None), paid_by(TURNS, workspace))
    return sa.select(TURNS.c.answer).where(kept).order_by(TURNS.c.id).limit(1)
