"""What was paid for stays in the ledger, whatever goes wrong around a call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from serm.agents.judge_shard import Manner, judge_shard
from serm.core.errors import JudgeError, StorageError
from serm.core.records import Answer, Pair
from serm.storage.judgments import JudgmentStore
from serm.storage.trace import Tracer

PAIR = Pair("q", "d", "lamp", "a lamp")


class Paid:
    """A judge behind a server whose answer costs a unit."""

    name, model, revision, prompt_hash = "paid", "m", "", ""
    sampling: Mapping[str, object] = {}
    simulated, deterministic, remote = False, True, True

    def __init__(self, dies: Callable[[], object] = lambda: None) -> None:
        self._dies = dies

    async def answer(self, pair: Pair, path: int) -> Answer:
        self._dies()
        return Answer(grade=2, cost=1.0)

    def evidence(self, pair: Pair) -> str:
        return ""

    async def prove(self) -> str:
        return ""

    async def close(self) -> None:
        return None


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder / 'judgments.sqlite'}"


def judge(judge: Paid, folder: Path) -> None:
    with JudgmentStore(url_of(folder)) as store:
        asyncio.run(judge_shard(judge, [PAIR], store, manner=Manner(sample=1.0)))


@pytest.mark.parametrize(("error", "lost"), [(ZeroDivisionError("a bug"), 1), (JudgeError("a wrong key"), 0)])
def test_a_call_that_dies_of_a_bug_may_have_been_paid_for_and_counts_as_lost(
    tmp_path: Path, error: Exception, lost: int
) -> None:
    def die() -> None:
        raise error

    with pytest.raises(type(error)):
        judge(Paid(die), tmp_path)
    with JudgmentStore(url_of(tmp_path)) as store:
        assert store.lost_calls() == lost


def test_a_span_that_cannot_be_written_costs_no_answer(tmp_path: Path) -> None:
    tracer = Tracer(tmp_path / "traces.sqlite", "t")
    tracer._connection.execute("PRAGMA query_only=1")  # SQLite's own word for it: a read-only database
    with pytest.raises(StorageError, match="the disk is read-only"), tracer.active():
        judge(Paid(), tmp_path)
    tracer.close()
    with JudgmentStore(url_of(tmp_path)) as store:
        assert store.for_pair("q", "d")[0].grade == 2
        assert (store.spent(), store.lost_calls()) == (1.0, 0)
