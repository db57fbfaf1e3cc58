"""One judge, one shard of pairs: asks what is not yet recorded, a bounded number at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from serm.agents.paths import hopeless, settled
from serm.agents.shard_report import ShardReport, judgment_of, report_of, trace_call
from serm.agents.watch import ShardWatch, is_away
from serm.core.errors import BudgetExceededError, SermError
from serm.core.records import Answer, FailureKind, Judgment, Pair
from serm.llm.base import Judge, cache_key, first_path, paths_of
from serm.llm.brake import StopRequestedError
from serm.llm.budget import GO_ON
from serm.storage.judgment_tables import Call
from serm.storage.judgments import JudgmentStore
from serm.storage.trace import SpanKind, current_trace_id, span

FINAL: Final = frozenset({FailureKind.NO_MAJORITY})
"""Failures that are a result: asking again would say the same. All others are asked again, alone."""
UNASKED: Final = frozenset({FailureKind.OVER_BUDGET})
"""Failures that were no whole attempt: they end the work. Recorded ones, of versions before, are asked again
in any case."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How shards are judged."""

    sample: float = 0.0  # share of calls that keep a full span; every failure keeps one
    retry: bool = True  # ask failures again that an earlier run recorded, but those that are a result
    stop: Callable[[], bool] = lambda: False  # whether to ask no further pair
    progress: Callable[[int], object] = lambda _: None  # told of so many further pairs that are done


async def judge_shard(
    judge: Judge,
    pairs: Sequence[Pair],
    store: JudgmentStore,
    *,
    paths: int = 1,
    risk: float = 0.0,
    slots: asyncio.Semaphore | None = None,
    manner: Manner = Manner(),
    watch: ShardWatch | None = None,
) -> ShardReport:
    """Have `judge` grade `pairs`; every judgment is in the store when this returns.

    It is asked along at most `paths`, and along no more than its majority needs (`settled`, with `risk`).
    `slots` bounds the calls in flight and may be shared by shards; a call is durable before its slot is free,
    and its judgment, unless `watch` holds it back. What is recorded is not asked; for failures see `Manner`.
    Raises BudgetExceededError once the calls in flight have ended, StopRequestedError, JudgeError (of a judge
    behind a server also where `watch` finds that it is gone) and StorageError likewise: what was paid for is
    kept.
    """
    with span(f"judge {judge.name}", SpanKind.SHARD, judge=judge.name, pairs=len(pairs)) as current:
        keys = [cache_key(judge, pair, paths, risk) for pair in pairs]
        recorded = await asyncio.to_thread(store.find, keys)
        done = {key: found for key, found in recorded.items() if is_final(found, retry=manner.retry)}
        await asyncio.wrap_future(store.use(done, current_trace_id()))
        todo = [(key, pair) for key, pair in dict(zip(keys, pairs, strict=True)).items() if key not in done]
        manner.progress(len(done))
        most = paths_of(judge, paths)

        def enough(answers: Sequence[Answer]) -> bool:
            grades = [answer.grade for answer in answers]
            return bool(answers) and (settled(grades, most - len(answers), risk) or hopeless(answers))

        def along(pair: Pair, count: int) -> int:
            return first_path(judge, pair, paths) + count

        work = _Work(judge, store, enough, along, slots or asyncio.Semaphore(1), manner, watch)
        fresh = await (work.remote(todo) if judge.remote else work.local(todo))
        report = report_of(judge.name, keys, done, fresh, work.answers)
        current.outputs = report.summary()
        current.attributes["simulated"] = judge.simulated
    return report


def is_final(judgment: Judgment, *, retry: bool) -> bool:
    """Whether a recorded judgment stands, `retry` being as in `Manner`."""
    if judgment.failure is None:
        return True
    return judgment.failure.kind in FINAL if retry else judgment.failure.kind not in UNASKED


class _Work:
    def __init__(  # noqa: PLR0917
        self,
        judge: Judge,
        store: JudgmentStore,
        enough: Callable[[Sequence[Answer]], bool],
        along: Callable[[Pair, int], int],
        slots: asyncio.Semaphore,
        manner: Manner,
        watch: ShardWatch | None,
    ) -> None:
        self.judge, self.store, self.enough, self.slots, self.manner = judge, store, enough, slots, manner
        self.watch = watch
        self.along = along  # the path of a pair's next answer, given how many there are
        self.trace_id = current_trace_id()
        self.answers: list[Answer] = []  # given now, by calls of this shard
        self.fatal: Exception | None = None  # ends the work

    async def local(self, todo: Sequence[tuple[str, Pair]]) -> dict[str, Judgment]:
        """A judge in this process: nothing in flight can be lost, and the shard is written as one."""
        fresh: dict[str, Judgment] = {}
        for key, pair in todo:
            answers: list[Answer] = []
            while not self.enough(answers):
                began = time.time_ns()
                answers.append(await self.judge.answer(pair, self.along(pair, len(answers))))
                self._trace(pair, len(answers) - 1, answers[-1], began)
            fresh[key] = judgment_of(self.judge, key, pair, answers, self.trace_id)
            self.answers += answers
        await asyncio.wrap_future(self.store.submit(list(fresh.values())))
        self.manner.progress(len(fresh))
        return fresh

    async def remote(self, todo: Sequence[tuple[str, Pair]]) -> dict[str, Judgment]:
        """A judge behind a server. An error that ends the work lets the calls in flight end first."""
        earlier = await asyncio.to_thread(self.store.answers, [key for key, _ in todo])
        if self.watch is not None:
            self.watch.begin()
        tasks = [asyncio.create_task(self._pair(key, pair, earlier.get(key, {}))) for key, pair in todo]
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
            if self.fatal is None and self.watch is not None:
                await self.watch.end()
        finally:
            for task in tasks:  # those that are left when this task was cancelled
                task.cancel()
            if self.watch is not None:
                self.watch.leave()
        if self.fatal is not None:
            raise self.fatal
        return {key: task.result() for (key, _), task in zip(todo, tasks, strict=True)}

    async def _pair(self, key: str, pair: Pair, earlier: Mapping[int, Answer]) -> Judgment:
        async with self.slots:  # kept for all paths, so that judgments are finished one after the other
            if self.fatal is not None:
                raise self.fatal
            try:
                if self.manner.stop():
                    raise StopRequestedError
                judgment = await self._ask(key, pair, earlier)
            except Exception as error:
                self.fatal = self.fatal or error
                raise
        self.manner.progress(1)
        return judgment

    async def _ask(self, key: str, pair: Pair, earlier: Mapping[int, Answer]) -> Judgment:
        """Ask path after path until the majority stands, those left out that answered in an earlier run."""
        answers: list[Answer] = []
        while True:
            known = earlier.get(len(answers))
            if known is None or known.failure is not None:
                judgment = await self._call(key, pair, answers)
                if judgment is not None:
                    return judgment
                continue
            answers.append(known)
            if self.enough(answers):  # its last call was recorded and its judgment was not
                judgment = judgment_of(self.judge, key, pair, answers, self.trace_id)
                await asyncio.wrap_future(self.store.submit([judgment]))
                return judgment

    async def _call(self, key: str, pair: Pair, answers: list[Answer]) -> Judgment | None:
        """One call along the next path: marked as in flight, answered, durable on return. Its answer joins
        `answers`; where that settles the pair, its judgment is written with it, or held back by `watch`.

        Raises BudgetExceededError also where a retry or a further turn could have passed the budget: what was
        paid until then is kept, and the path is asked again.
        """
        since = await self.watch.ready() if self.watch is not None else 0
        path = len(answers)
        mark, marked = self.store.started(key, path, self.judge.name)
        await asyncio.wrap_future(marked)
        began = time.time_ns()
        try:
            answer = await self.judge.answer(pair, self.along(pair, path))
        except SermError:  # it was not asked, or there is no answer to wait for: nothing is in flight
            await asyncio.wrap_future(self.store.unmark(mark))
            raise  # any other error is a bug, and may come after money was paid: the mark stays, a lost call
        answers.append(answer)
        self.answers.append(answer)
        broke = answer.failure if answer.failure is not None and answer.failure.kind in UNASKED else None
        settles = broke is None and self.enough(answers)
        judgment = judgment_of(self.judge, key, pair, answers, self.trace_id) if settles else None
        held = judgment if self.watch is not None and is_away(answer) else None
        call = Call(key, path, answer, self.trace_id, self.judge.name)
        await asyncio.wrap_future(self.store.ended(mark, call, None if held else judgment))
        self._trace(pair, path, answer, began)  # last: a span that cannot be written costs no answer
        if self.watch is not None:
            await self.watch.heard(since, answer, held)
        if broke is not None:  # no judgment: its shard would count as done, and it as failed for good
            raise BudgetExceededError(broke.message, GO_ON)
        return judgment

    def _trace(self, pair: Pair, path: int, answer: Answer, began: int) -> None:
        trace_call(self.judge, pair, path, answer, began=began, sample=self.manner.sample)
