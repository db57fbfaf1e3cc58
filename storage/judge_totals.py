"""What the calls of each judge took so far: what a forecast goes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from serm.core.records import PairKey
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
    sums = [sa.func.sum(CALLS.c[name]).label(name) for name in ("tokens_in", "tokens_out", "latency")]
    statement = (
        sa.select(JUDGMENTS.c.judge, sa.func.count().label("calls"), *sums)
        .join(CALLS, CALLS.c.cache_key == JUDGMENTS.c.cache_key)
        .group_by(JUDGMENTS.c.judge)
    )
    return {
        str(row["judge"]): JudgeTotals(
            int(row["calls"]), int(row["tokens_in"]), int(row["tokens_out"]), float(row["latency"])
        )
        for row in _rows(url, statement)
    }


def graded_pairs(url: str, judge: str, model: str, prompt: str) -> list[PairKey]:
    """The pairs that a judge has graded with this model and this prompt, by its hash."""
    said = JUDGMENTS.c
    same = sa.and_(said.judge == judge, said.model == model, said.prompt_hash == prompt)
    statement = sa.select(said.query_id, said.doc_id).where(same, said.grade.is_not(None)).distinct()
    return [PairKey(row["query_id"], row["doc_id"]) for row in _rows(url, statement)]


def _rows(url: str, statement: sa.Select[Any]) -> list[dict[str, Any]]:
    engine = open_engine(url)
    try:
        with database_errors(engine.url):
            if not all(sa.inspect(engine).has_table(table.name) for table in (CALLS, JUDGMENTS)):
                return []
            with engine.connect() as connection:
                return [dict(row) for row in connection.execute(statement).mappings()]
    finally:
        engine.dispose()
