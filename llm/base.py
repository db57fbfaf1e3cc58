"""What a judge is to the rest of serm, whatever answers for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from serm.core.hashing import digest
from serm.core.records import Answer, Pair

Trial = Callable[[], Awaitable[Answer]]
"""A call by which a judge shows that it works."""
Record = Callable[[Trial], Awaitable[Answer]]
"""Makes a trial, and keeps what it took."""


async def unrecorded(trial: Trial) -> Answer:
    """Keeps nothing."""
    return await trial()


class Judge(Protocol):
    """Grades one pair along one reasoning path. It never raises for a call that failed: that is an `Answer`
    with a failure. It raises JudgeError where nothing will ever work (an unknown model, a refused key)."""

    name: str
    model: str
    revision: str
    prompt_hash: str
    sampling: Mapping[str, object]  # temperature, grade map and the like: part of the cache key
    simulated: bool  # shown wherever its output shows
    deterministic: bool  # further paths would answer the same: one is enough
    remote: bool  # its calls leave the process: they take a slot, cost money and can be lost in a kill

    async def answer(self, pair: Pair, path: int) -> Answer:
        """One path's answer; `path` counts from 0 and seeds the sampling."""

    def evidence(self, pair: Pair) -> str:
        """What else than the prompt and the pair's texts decides the answer (a hash, part of the cache key):
        the others' grades in a debate, the state of the knowledge base, a language that is shown. "" where
        nothing does."""

    async def prove(self, record: Record = unrecorded) -> str:
        """A sentence that says why this judge cannot work, or "" where a constrained call obeyed. Whatever it
        asks, it asks through `record`. Raises BudgetExceededError where that could pass the budget."""

    async def close(self) -> None:
        """Free what it holds."""


def paths_of(judge: Judge, paths: int) -> int:
    """How many reasoning paths are worth asking: one where all would answer the same."""
    return 1 if judge.deterministic else paths


def first_path(judge: Judge, pair: Pair, paths: int) -> int:
    """The path that a judge is asked along first: of a pair that is asked again, the first unused one."""
    return pair.again * paths_of(judge, paths)


def cache_key(judge: Judge, pair: Pair, paths: int, risk: float = 0.0) -> str:
    """What names a judgment: everything that can change it, and the pair's ids, which recorded and
    simulated judges go by. The number of paths counts; whether they were all needed does not. The `risk`
    with which paths are left out counts where it is taken and there are paths to leave out. A pair that is
    asked again has a key of its own, but for a deterministic judge: it has said all that it will say."""
    parts: list[object] = [
        judge.name,
        judge.model,
        judge.revision,
        judge.prompt_hash,
        dict(judge.sampling),
        _asked(judge, paths, risk),
        [pair.query_id, pair.doc_id, pair.query, pair.title, pair.text],
    ]
    if pair.again and not judge.deterministic:
        parts.append({"again": pair.again})
    evidence = judge.evidence(pair)
    return digest([*parts, evidence] if evidence else parts)


def _asked(judge: Judge, paths: int, risk: float) -> object:
    most = paths_of(judge, paths)
    return [most, risk] if risk > 0 and most > 1 else most
