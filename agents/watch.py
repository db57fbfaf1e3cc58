"""Whether a judge is still there: many failures in a row may be the judge's, and not the pairs'.

A quota that ends, a server that dies, a key that is withdrawn would fail all pairs that are left, and a round
would close with them. So a failure of such a kind is held back until a call that began after it has a grade.
After `IN_A_ROW` of them the judge has to prove itself: where it does they are the pairs' own (a content
filter refused them), where it does not the run stops, and they are as if they had not been asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from serm.core.errors import JudgeError, SermError
from serm.core.records import Answer, Failure, FailureKind, Judgment
from serm.storage.judgments import JudgmentStore

IN_A_ROW: Final = 20
"""Calls of a judge that fail in a row, with no grade between them, before it has to prove itself (chosen)."""
AT_THE_END: Final = 3
"""Pairs that are enough at the end of a shard, where no call comes after them (chosen): two say little."""
AWAY: Final = frozenset(
    {FailureKind.REFUSED, FailureKind.SERVER, FailureKind.TIMEOUT, FailureKind.RATE_LIMITED}
)
"""Failures that a judge which is away would have, and one pair alone may have."""

Prove = Callable[[], Awaitable[str]]
"""Has the judge prove itself: a sentence where it cannot work, "" where it does."""


class Watch:
    """Over one judge behind a server. To be used on one event loop."""

    def __init__(self, judge: str) -> None:
        self._judge = judge
        self._held: list[_Held] = []
        self._heard = 0  # calls; the clock by which one comes after another
        self._failed = 0  # calls in a row
        self._last: Failure | None = None  # of them
        self._asking: set[ShardWatch] = set()  # those that have pairs left
        self._gone: SermError | None = None  # why it is asked for nothing more, until it is proven
        self._proving, self._writing = asyncio.Lock(), asyncio.Lock()
        self._changed = asyncio.Event()

    def proven(self) -> None:
        """It has shown that it works: begin anew."""
        self._failed, self._gone = 0, None

    async def ready(self) -> int:
        """Wait for a proof to end; the time. Raises what it ended with where the judge is gone."""
        if self._proving.locked():
            async with self._proving:
                pass
        if self._gone is not None:
            raise self._gone
        return self._heard

    async def heard(self, shard: ShardWatch, began: int, answer: Answer, held: Judgment | None) -> None:
        self._heard += 1
        if held is not None:
            self._held.append(_Held(shard, held, self._heard))
        if answer.grade is not None:
            self._failed = 0
            await self._write(began)
        elif is_away(answer):
            self._failed, self._last = self._failed + 1, answer.failure
            if self._failed >= IN_A_ROW:
                await self._settle(shard, lambda: self._failed >= IN_A_ROW)

    def begin(self, shard: ShardWatch) -> None:
        self._asking.add(shard)

    async def end(self, shard: ShardWatch) -> None:
        """What is still held is decided by the judge's other shards, where there are any at work, else by a
        proof; one or two failures are the pairs' own."""
        self._asking.discard(shard)
        self._tell()
        while True:
            await self.ready()
            if all(one.shard is not shard for one in self._held):
                return
            if self._asking:
                await self._changed.wait()
            elif len(self._held) >= AT_THE_END:
                await self._settle(shard, lambda: len(self._held) >= AT_THE_END)
            else:
                await self._write()

    def leave(self, shard: ShardWatch) -> None:
        self._asking.discard(shard)
        self._held = [one for one in self._held if one.shard is not shard]
        self._tell()

    async def _settle(self, shard: ShardWatch, doubtful: Callable[[], bool]) -> None:
        """Have the judge prove itself, unless somebody else was faster: one proof at a time."""
        async with self._proving:
            if self._gone is not None:
                raise self._gone
            if not doubtful():
                return
            try:
                complaint = await shard.prove()
                if complaint:
                    raise self._stopped(complaint)
            except SermError as error:
                self._gone = error
                self._held.clear()
                self._tell()
                raise
            self._failed = 0
            await self._write()

    def _stopped(self, complaint: str) -> JudgeError:
        failed = max(self._failed, len(self._held))
        last = f" ({self._last.kind}: {self._last.message})" if self._last else ""
        return JudgeError(
            f"judge `{self._judge}` has stopped working: {failed} calls in a row failed{last}, and it "
            f"could not prove itself: {complaint}",
            "What was answered is kept. See to its server, quota or key and run the same command: it goes on "
            "from there, and asks for what failed in a row again.",
        )

    async def _write(self, began: int | None = None) -> None:
        """Write what is held: the judge is there, and failed at these pairs. `began`: what failed before then
        alone. What comes meanwhile waits."""
        if not (held := [one for one in self._held if began is None or one.since <= began]):
            return
        async with self._writing:  # they count as held until they are durable
            held = [one for one in held if one in self._held]
            written = [one.shard.store.submit([one.judgment]) for one in held]
            await asyncio.gather(*map(asyncio.wrap_future, written))
            self._held = [one for one in self._held if one not in held]
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class ShardWatch:
    """The same, as one shard of the judge's pairs has it."""

    def __init__(self, watch: Watch, store: JudgmentStore, prove: Prove) -> None:
        self._watch, self.store, self.prove = watch, store, prove

    def begin(self) -> None:
        """It begins to ask."""
        self._watch.begin(self)

    async def ready(self) -> int:
        """Before a call: wait for a proof to end; when the call began, for `heard`. Raises JudgeError where
        the judge is gone."""
        return await self._watch.ready()

    async def heard(self, began: int, answer: Answer, held: Judgment | None) -> None:
        """A call has ended; `held` is the judgment that it would have settled, where it `is_away`. Raises
        JudgeError where the judge is gone, BudgetExceededError where a proof could pass the budget."""
        await self._watch.heard(self, began, answer, held)

    async def end(self) -> None:
        """It has asked for all its pairs: wait until its judgments are written. Raises as `heard` does."""
        await self._watch.end(self)

    def leave(self) -> None:
        """It is over, however: what is still held of it is asked again."""
        self._watch.leave(self)


@dataclass(frozen=True, slots=True)
class _Held:
    """A judgment that waits to be written."""

    shard: ShardWatch
    judgment: Judgment
    since: int


def is_away(answer: Answer) -> bool:
    """Whether it is an answer that a judge which is away would give: a judgment that rests on it waits."""
    return answer.failure is not None and answer.failure.kind in AWAY
