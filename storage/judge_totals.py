"""What the calls of each judge took so far: what a forecast goes by."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from serm.storage.judgment_engine import database_errors, open_engine
from serm.storage.judgment_tables import CALLS, JUDGMENTS


@dataclass(frozen=True, slots=True)
class JudgeTotals:
    """Sums over the finished calls of one judge. A call is one reasoning path of one pair."""

    calls: int
    tokens_in: int
    tokens_out: int
    latency: float  # seconds


def judge_totals(url: str) -> dict[str, JudgeTotals]:
    """By judge, from the judgments store at a SQLAlchemy URL; empty where nothing has been called yet."""
    engine = open_engine(url)
    sums = [sa.func.sum(CALLS.c[name]).label(name) for name in ("tokens_in", "tokens_out", "latency")]
    statement = (
        sa.select(JUDGMENTS.c.judge, sa.func.count().label("calls"), *sums)
        .join(CALLS, CALLS.c.cache_key == JUDGMENTS.c.cache_key)
        .group_by(JUDGMENTS.c.judge)
    )
    try:
        with database_errors(engine.url):
            if not all(sa.inspect(engine).has_table(table.name) for table in (CALLS, JUDGMENTS)):
                return {}
            with engine.connect() as connection:
                rows = [dict(row) for row in connection.execute(statement).mappings()]
    finally:
        engine.dispose()
    return {
        str(row["judge"]): JudgeTotals(
            int(row["calls"]), int(row["tokens_in"]), int(row["tokens_out"]), float(row["latency"])
        )
        for row in rows
    }
