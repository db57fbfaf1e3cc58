"""What every judge said of every pair, in SQLite or PostgreSQL: what is written is never asked again."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

import pandas as pd
import sqlalchemy as sa

from serm.core.columns import DISTRIBUTION
from serm.core.records import Answer, Judgment
from serm.storage.accounts import (
    Account,
    select_calls,
    select_cost,
    select_judgments,
    select_lost,
    select_lost_cost,
)
from serm.storage.artifacts import write_file
from serm.storage.group_commit import GroupCommit, Write
from serm.storage.judgment_engine import (
    add_missing_columns,
    create_missing_tables,
    database_errors,
    open_engine,
)
from serm.storage.judgment_tables import (
    CALLS,
    DELETE_MARK,
    INSERT_CALL,
    INSERT_MARK,
    JUDGMENTS,
    METADATA,
    STARTED,
    Call,
    Totals,
    answer_of,
    call_row,
    insert_used,
    judgment_of,
    judgment_row,
    judgments_of,
    upsert_judgment,
)
from serm.storage.turns import (
    DELETE_TURN_MARK,
    IN_FLIGHT,
    INSERT_TURN,
    INSERT_TURN_MARK,
    AgentTurn,
    TurnTotals,
    mark_row,
    select_answer,
    select_in_flight_cost,
    select_totals,
    turn_row,
)

_KEYS_A_QUERY: Final = 500  # under SQLite's limit on variables


class JudgmentStore:
    """Opened by a SQLAlchemy URL; makes its tables where they are missing. Safe to use from several threads.

    Writes give futures that are done when the write is durable. `started` marks a call in flight and `ended`
    takes the mark away; what a killed process leaves marked is a lost call, and stays counted. `turn_started`
    and `turn_ended` do so for a turn of an agent, and wait.

    In a database that several workspaces use, judgments are for all of them, and each pays for its own calls:
    `workspace` (`Workspace.payer`) tells them apart. None: the database is one workspace's own. Who asks for
    a judgment finds it whoever made it (`find`, then `use`). All else reads and counts what this workspace
    has used alone, so that nothing that comes of it hangs on who else uses the database.
    """

    def __init__(self, url: str, workspace: str | None = None) -> None:
        self._engine = open_engine(url)
        self._workspace = workspace
        self._session = uuid.uuid4().hex
        self._marks = itertools.count(1)  # over threads: agents work side by side
        with database_errors(self._engine.url):
            create_missing_tables(self._engine, METADATA)
            add_missing_columns(self._engine, METADATA)
        self._upsert = upsert_judgment(self._engine.dialect.name)
        self._insert_used = insert_used(self._engine.dialect.name)
        self._writer = GroupCommit(self._engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit what is waiting and let go of the database. Safe to call twice."""
        self._writer.close()
        self._engine.dispose()

    # -- writing

    def submit(self, judgments: Sequence[Judgment]) -> Future[None]:
        """Write judgments; one under the same cache key is replaced (a failure that was asked again)."""
        return self._writer.submit(*self._judgments(judgments))

    def use(self, keys: Iterable[str], trace_id: str) -> Future[None]:
        """Note that this workspace uses recorded judgments, in a trace unless it did before."""
        return self._writer.submit(*self._used((key, trace_id) for key in keys))

    def put(self, judgments: Sequence[Judgment]) -> None:
        """Write judgments and wait until they are durable. Raises StorageError where they cannot be."""
        wait(self.submit(judgments))

    def started(self, key: str, path: int, judge: str) -> tuple[str, Future[None]]:
        """Mark a call as in flight; the mark's name goes to `ended`."""
        mark = self._mark()
        row = {"id": mark, "session": self._session, "cache_key": key, "path": path, "judge": judge}
        return mark, self._writer.submit(Write(INSERT_MARK, [self._paid(row)]))

    def ended(self, mark: str, call: Call, judgment: Judgment | None) -> Future[None]:
        """Write a call, take its mark away and, where the call settled it, write the judgment: as one."""
        return self._writer.submit(
            Write(INSERT_CALL, [self._paid(call_row(call))]),
            Write(DELETE_MARK, [{"mark": mark}]),
            *self._judgments([] if judgment is None else [judgment]),
        )

    def unmark(self, mark: str) -> Future[None]:
        """Take the mark of a call away that was not made after all."""
        return self._writer.submit(Write(DELETE_MARK, [{"mark": mark}]))

    def turn_started(self, most: AgentTurn) -> str:
        """Mark a turn of an agent as in flight, with the most that it can cost; the mark's name goes to
        `turn_ended`. Raises StorageError where the mark cannot be written: then nothing is to be asked."""
        mark = self._mark()
        row = {"id": mark, "session": self._session, **mark_row(most)}
        wait(self._writer.submit(Write(INSERT_TURN_MARK, [self._paid(row)])))
        return mark

    def turn_ended(self, mark: str, turn: AgentTurn | None) -> None:
        """Take a turn's mark away and write what it took (None: nothing), as one; wait until it is durable.

        Raises StorageError where it cannot be: the mark stays, and counts."""
        rows = [] if turn is None else [self._paid(turn_row(turn, time.time()))]
        wait(self._writer.submit(Write(INSERT_TURN, rows), Write(DELETE_TURN_MARK, [{"mark": mark}])))

    def _mark(self) -> str:
        return f"{self._session}-{next(self._marks)}"

    def _paid(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "workspace": self._workspace}

    def _judgments(self, judgments: Sequence[Judgment]) -> list[Write]:
        now = time.time()
        rows = [{**judgment_row(judgment), "written": now} for judgment in judgments]
        used = ((judgment.cache_key, judgment.trace_id) for judgment in judgments)
        return [Write(self._upsert, rows), *self._used(used)]

    def _used(self, used: Iterable[tuple[str, str]]) -> list[Write]:
        """Nothing where the database is the workspace's own: all in it is its own, too."""
        if self._workspace is None:
            return []
        rows = [self._paid({"cache_key": key, "trace_id": trace}) for key, trace in used]
        return [Write(self._insert_used, rows)]

    # -- reading

    def get(self, keys: Iterable[str]) -> dict[str, Judgment]:
        """The judgments under these cache keys that this workspace has used, failures too; a key that is not
        there is left out."""
        return self._under(keys, self._workspace)

    def find(self, keys: Iterable[str]) -> dict[str, Judgment]:
        """The same, whoever made them: for who would ask, who then says which of them it takes (`use`). But
        for failures of other workspaces: their servers' bad hours are no answer to this one."""
        found = self._under(keys, None)
        failed = [key for key, judgment in found.items() if judgment.failure is not None]
        if self._workspace is None or not failed:
            return found
        own = self._under(failed, self._workspace)
        return {key: said for key, said in found.items() if said.failure is None or key in own}

    def _under(self, keys: Iterable[str], workspace: str | None) -> dict[str, Judgment]:
        statement = judgments_of(workspace, None, JUDGMENTS)
        return {
            row["cache_key"]: judgment_of(row)
            for batch in _batches(keys)
            for row in self._rows(statement.where(JUDGMENTS.c.cache_key.in_(batch)))
        }

    def answers(self, keys: Iterable[str]) -> dict[str, dict[int, Answer]]:
        """The finished calls of each judgment, by path; the latest where a path was asked twice."""
        found: dict[str, dict[int, Answer]] = {}
        for batch in _batches(keys):
            statement = sa.select(CALLS).where(CALLS.c.cache_key.in_(batch)).order_by(CALLS.c.id)
            for row in self._rows(statement):
                found.setdefault(row["cache_key"], {})[row["path"]] = answer_of(row)
        return found

    def for_pair(self, query_id: str, doc_id: str) -> list[Judgment]:
        """All that was said of a pair, the oldest first."""
        where = sa.and_(JUDGMENTS.c.query_id == query_id, JUDGMENTS.c.doc_id == doc_id)
        statement = (
            judgments_of(self._workspace, None, JUDGMENTS)
            .where(where)
            .order_by(JUDGMENTS.c.written, JUDGMENTS.c.judge)
        )
        return [judgment_of(row) for row in self._rows(statement)]

    def lost_calls(self) -> int:
        """Calls that were in flight when an earlier process was killed."""
        return int(self._scalar(select_lost(STARTED, self._session, self._workspace)))

    def lost_turns(self) -> int:
        """Turns of agents that were in flight when an earlier process was killed or interrupted."""
        return int(self._scalar(select_lost(IN_FLIGHT, self._session, self._workspace)))

    def spent(self) -> float:
        """Money paid for all finished calls, failed and repeated ones too, and for the turns of agents.

        What a lost call has cost nobody knows: it counts as much as its judge's dearest. A turn that is in
        flight or lost counts as the most that it can cost.
        """
        calls = float(self._scalar(select_cost(self._workspace)))
        lost_ones = float(self._scalar(select_lost_cost(self._session, self._workspace)))
        in_flight = float(self._scalar(select_in_flight_cost(self._workspace)))
        return calls + lost_ones + in_flight + self.turn_totals().cost

    def accounts(self, trace_id: str | None = None) -> list[Account]:
        """What each judge has taken, by name: of all there is, or of one trace. Judgments are those that were
        used, calls and all that follows those that were paid for."""
        said = {row["judge"]: row for row in self._rows(select_judgments(trace_id, self._workspace))}
        took = {row["judge"]: row for row in self._rows(select_calls(trace_id, self._workspace))}
        return [
            Account(**{**said.get(judge, {}), **took.get(judge, {}), "judge": judge})
            for judge in sorted({*said, *took})
        ]

    def turn_answer(self, key: str) -> str | None:
        """The answer that was kept under a turn's key; None where there is none."""
        rows = self._rows(select_answer(key, self._workspace))
        return str(rows[0]["answer"]) if rows else None

    def turn_totals(self, trace_id: str | None = None) -> TurnTotals:
        """What the turns of agents took, all of them or those of one trace."""
        row = self._rows(select_totals(trace_id, self._workspace))[0]
        counts = {name: int(value) for name, value in row.items() if name != "cost"}
        return TurnTotals(**counts, cost=float(row["cost"]))

    def totals(self, trace_id: str | None = None) -> Totals:
        """What the judgments that were used took, all of them or those of one trace: also those that another
        workspace had paid for, as if this one had asked alone."""
        table = JUDGMENTS.c
        statement = judgments_of(
            self._workspace,
            trace_id,
            sa.func.count().label("judgments"),
            sa.func.count(table.failure).label("failures"),
            *(
                sa.func.coalesce(sa.func.sum(table[name]), 0).label(name)
                for name in ("requests", "tokens_in", "tokens_out", "cost")
            ),
        )
        row = self._rows(statement)[0]
        counts = {name: int(value) for name, value in row.items() if name != "cost"}
        return Totals(**counts, cost=float(row["cost"]))

    def export_parquet(self, path: Path) -> int:
        """Write a judgments file that `replay:` reads, the latest row a pair and judge; returns how many."""
        columns = ["query_id", "doc_id", "judge", "grade", *DISTRIBUTION, "outside"]
        columns += ["failure", "rationale", "simulated"]
        statement = sa.select(*(JUDGMENTS.c[name] for name in columns)).order_by(JUDGMENTS.c.written)
        frame = pd.DataFrame(self._rows(statement), columns=columns)
        frame = frame.drop_duplicates(["query_id", "doc_id", "judge"], keep="last")
        frame = frame.sort_values(["judge", "query_id", "doc_id"], ignore_index=True)
        frame = frame.astype(
            {"grade": "Int8", "simulated": bool, **dict.fromkeys((*DISTRIBUTION, "outside"), "float64")}
        )
        write_file(path, lambda temporary: frame.to_parquet(temporary, index=False))
        return len(frame)

    def _rows(self, statement: sa.Select[Any]) -> list[Mapping[str, Any]]:
        with database_errors(self._engine.url), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    def _scalar(self, statement: sa.Select[Any]) -> Any:
        with database_errors(self._engine.url), self._engine.connect() as connection:
            return connection.execute(statement).scalar_one()


def wait(future: Future[None]) -> None:
    """Wait until a write is durable."""
    future.result()


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    left = iter(keys)
    while batch := list(islice(left, _KEYS_A_QUERY)):
        yield batch
