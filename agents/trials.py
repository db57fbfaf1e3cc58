"""The calls by which a judge shows that it works, in the ledger like those about pairs: they are paid too."""

from __future__ import annotations

import asyncio

from serm.core.errors import SermError
from serm.core.hashing import digest
from serm.core.records import Answer
from serm.llm.base import Trial
from serm.storage.judgment_tables import Call
from serm.storage.judgments import JudgmentStore


class Trials:
    """Fulfils `Record` for one judge: marks each trial while it is in flight, then writes what it took.

    They stand under a key of their own, which is no judgment's. A trial that was not made leaves nothing.
    """

    def __init__(self, judge: str, store: JudgmentStore, trace_id: str) -> None:
        self._judge, self._store, self._trace_id = judge, store, trace_id
        self._key, self._made = digest(["prove", trace_id, judge]), 0

    async def __call__(self, trial: Trial) -> Answer:
        path, self._made = self._made, self._made + 1
        mark, marked = self._store.started(self._key, path, self._judge)
        await asyncio.wrap_future(marked)
        try:
            answer = await trial()
        except SermError:  # it was not asked, or there is no answer to wait for: nothing is in flight
            await asyncio.wrap_future(self._store.unmark(mark))
            raise  # any other error is a bug, and may come after money was paid: the mark stays, a lost call
        call = Call(self._key, path, answer, self._trace_id, self._judge)
        await asyncio.wrap_future(self._store.ended(mark, call, None))
        return answer
