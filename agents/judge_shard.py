"""One judge, one shard of pairs: asks what is not yet recorded, a bounded number at a time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from serm.agents.paths import conclude, mean_distribution, settled
from serm.core.hashing import unit_interval
from serm.core.records import Answer, FailureKind, Judgment, Pair
from serm.llm.base import Judge, cache_key, paths_of
from serm.storage.judgments import Call, JudgmentStore
from serm.storage.trace import SpanKind, current_trace_id, span

FINAL: Final = frozenset({FailureKind.NO_MAJORITY})
"""Failures that are a result: asking again would say the same. All others are asked again, alone."""


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What became of a shard. `asked + recorded` is its number of pairs."""

    judge: str
    asked: int
    recorded: int  # found in the store, not asked
    graded: int
    failed: int
    requests: int  # HTTP requests of this call alone, and what they took
    tokens: int
    cost: float
    failures: Mapping[str, int]  # kind: number

    def summary(self) -> dict[str, object]:
        return {
            "asked": self.asked,
            "recorded": self.recorded,
            "graded": self.graded,
            "failed": self.failed,
            "requests": self.requests,
            "tokens": self.tokens,
            "cost": self.cost,
            "failures": dict(self.failures),
        }


async def judge_shard(
    judge: Judge,
    pairs: Sequence[Pair],
    store: JudgmentStore,
    *,
    paths: int = 1,
    slots: asyncio.Semaphore | None = None,
    sample: float = 0.0,
) -> ShardReport:
    """Have `judge` grade `pairs`; every judgment is in the store when this returns.

    `slots` bounds the calls in flight and may be shared by shards; a judgment is durable before its slot is
    free. What is recorded is not asked; failures are, except those that are a result. `sample` is the share
    of calls that keep a full span; every failure keeps one. Raises BudgetExceededError once the calls in
    flight have ended, JudgeError and StorageError likewise: nothing that was paid for is lost.
    """
    with span(f"judge {judge.name}", SpanKind.SHARD, judge=judge.name, pairs=len(pairs)) as current:
        keys = [cache_key(judge, pair, paths) for pair in pairs]
        recorded = await asyncio.to_thread(store.get, keys)
        done = {key: found for key, found in recorded.items() if _is_final(found)}
        todo = [(key, pair) for key, pair in dict(zip(keys, pairs, strict=True)).items() if key not in done]
        work = _Work(judge, store, paths_of(judge, paths), slots or asyncio.Semaphore(1), sample)
        fresh = await (work.remote(todo) if judge.remote else work.local(todo))
        report = _report(judge.name, keys, done, fresh, work.answers)
        current.outputs = report.summary()
        current.attributes["simulated"] = judge.simulated
    return report


def _is_final(judgment: Judgment) -> bool:
    return judgment.failure is None or judgment.failure.kind in FINAL


class _Work:
    def __init__(
        self, judge: Judge, store: JudgmentStore, paths: int, slots: asyncio.Semaphore, sample: float
    ) -> None:
        self.judge, self.store, self.paths, self.slots, self.sample = judge, store, paths, slots, sample
        self.trace_id = current_trace_id()
        self.answers: list[Answer] = []  # given now, by calls of this shard
        self.fatal: Exception | None = None  # ends the work

    async def local(self, todo: Sequence[tuple[str, Pair]]) -> dict[str, Judgment]:
        """A judge in this process: nothing in flight can be lost, and the shard is written as one."""
        fresh: dict[str, Judgment] = {}
        for key, pair in todo:
            answers: list[Answer] = []
            while not _enough(answers, self.paths):
                began = time.time_ns()
                answers.append(await self.judge.answer(pair, len(answers)))
                self._trace(pair, len(answers) - 1, answers[-1], began)
            fresh[key] = self._judgment(key, pair, answers)
            self.answers += answers
        await asyncio.wrap_future(self.store.submit(list(fresh.values())))
        return fresh

    async def remote(self, todo: Sequence[tuple[str, Pair]]) -> dict[str, Judgment]:
        """A judge behind a server. An error that ends the work lets the calls in flight end first."""
        earlier = await asyncio.to_thread(self.store.answers, [key for key, _ in todo])
        tasks = [asyncio.create_task(self._pair(key, pair, earlier.get(key, {}))) for key, pair in todo]
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for task in tasks:  # those that are left when this task was cancelled
                task.cancel()
        if self.fatal is not None:
            raise self.fatal
        return {key: task.result() for (key, _), task in zip(todo, tasks, strict=True)}

    async def _pair(self, key: str, pair: Pair, earlier: Mapping[int, Answer]) -> Judgment:
        """Ask path after path until the majority stands, those left out that answered in an earlier run."""
        answers: list[Answer] = []
        judgment: Judgment | None = None
        while judgment is None:
            path = len(answers)
            known = earlier.get(path)
            if known is not None and known.failure is None:
                answers.append(known)
                if _enough(answers, self.paths):  # its last call was recorded and its judgment was not
                    judgment = self._judgment(key, pair, answers)
                    await asyncio.wrap_future(self.store.submit([judgment]))
                continue
            async with self.slots:
                judgment = await self._guarded_call(key, pair, path, answers)
        return judgment

    async def _guarded_call(self, key: str, pair: Pair, path: int, answers: list[Answer]) -> Judgment | None:
        if self.fatal is not None:
            raise self.fatal
        try:
            return await self._call(key, pair, path, answers)
        except Exception as error:
            self.fatal = self.fatal or error
            raise

    async def _call(self, key: str, pair: Pair, path: int, answers: list[Answer]) -> Judgment | None:
        """One call with its slot held: marked as in flight, answered, and durable on return."""
        mark, marked = self.store.started(key, path)
        await asyncio.wrap_future(marked)
        began = time.time_ns()
        try:
            answer = await self.judge.answer(pair, path)
        except Exception:  # it was not asked, or there is no answer to wait for: nothing is in flight
            await asyncio.wrap_future(self.store.unmark(mark))
            raise
        answers.append(answer)
        self.answers.append(answer)
        judgment = self._judgment(key, pair, answers) if _enough(answers, self.paths) else None
        self._trace(pair, path, answer, began)
        call = Call(key, path, answer, self.trace_id)
        await asyncio.wrap_future(self.store.ended(mark, call, judgment))
        return judgment

    def _judgment(self, key: str, pair: Pair, answers: Sequence[Answer]) -> Judgment:
        grade, failure = conclude(answers)
        judge = self.judge
        return Judgment(
            query_id=pair.query_id,
            doc_id=pair.doc_id,
            judge=judge.name,
            grade=grade,
            failure=failure,
            distribution=mean_distribution(answers) if grade is not None else None,
            paths=tuple(answer.grade for answer in answers),
            rationale=next((a.rationale for a in answers if a.grade == grade and a.rationale), ""),
            tokens_in=sum(answer.tokens_in for answer in answers),
            tokens_out=sum(answer.tokens_out for answer in answers),
            cost=sum(answer.cost for answer in answers),
            latency=sum(answer.latency for answer in answers),
            requests=sum(answer.requests for answer in answers),
            prompt_hash=judge.prompt_hash,
            model=judge.model,
            revision=judge.revision,
            simulated=judge.simulated,
            cache_key=key,
            trace_id=self.trace_id,
        )

    def _trace(self, pair: Pair, path: int, answer: Answer, began: int) -> None:
        """Keep a span of the call: of every failure, and of a share that the pair's hash chooses."""
        chosen = unit_interval("call span", self.judge.name, *pair.key, path) < self.sample
        if answer.failure is None and not chosen:
            return
        with span(f"call {self.judge.name}", SpanKind.CALL, **pair.key._asdict(), path=path) as current:
            current.started = began
            current.outputs = {"grade": answer.grade, "rationale": answer.rationale}
            current.attributes = {
                "model": self.judge.model,
                "simulated": self.judge.simulated,
                "requests": answer.requests,
                "tokens_in": answer.tokens_in,
                "tokens_out": answer.tokens_out,
                "cost": answer.cost,
            }
            if answer.failure is not None:
                current.error = f"{answer.failure.kind}: {answer.failure.message}"


def _enough(answers: Sequence[Answer], paths: int) -> bool:
    return bool(answers) and settled([answer.grade for answer in answers], paths - len(answers))


def _report(
    judge: str,
    keys: Sequence[str],
    done: Mapping[str, Judgment],
    fresh: Mapping[str, Judgment],
    answers: Sequence[Answer],
) -> ShardReport:
    all_of = {**done, **fresh}
    failures = [all_of[key].failure for key in keys]
    kinds = Counter(failure.kind.value for failure in failures if failure is not None)
    return ShardReport(
        judge=judge,
        asked=sum(key in fresh for key in keys),
        recorded=sum(key in done for key in keys),
        graded=sum(failure is None for failure in failures),
        failed=sum(kinds.values()),
        requests=sum(answer.requests for answer in answers),
        tokens=sum(answer.tokens_in + answer.tokens_out for answer in answers),
        cost=sum(answer.cost for answer in answers),
        failures=dict(kinds),
    )
