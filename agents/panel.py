"""The judges of a run: opened from the settings, asked over shards, each for the sources that it judges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import pandas as pd

from serm.agents.backends import BUILDERS, Opening
from serm.agents.judge_shard import Manner, is_final, judge_shard
from serm.agents.model_judge import OwnModel
from serm.agents.shard_report import ShardReport
from serm.agents.trials import Trials
from serm.agents.watch import ShardWatch, Watch
from serm.core.errors import BudgetExceededError, ConfigError, JudgeError
from serm.core.records import GRADES, Judgment, Pair, PairKey
from serm.core.settings import Settings
from serm.core.settings_loop import JudgeSettings
from serm.llm.base import Judge, Record, cache_key, unrecorded
from serm.llm.budget import Budget
from serm.llm.portal import Portal
from serm.llm.spec import parse_backend
from serm.llm.vllm_engine import ENGINES
from serm.storage.judgments import JudgmentStore
from serm.storage.knowledge import Searchable
from serm.storage.trace import current_trace_id


@dataclass(frozen=True)
class Member:
    """A judge of the panel and the sources that it judges; none named: all."""

    judge: Judge
    sources: tuple[str, ...]
    slots: asyncio.Semaphore  # calls in flight, over all shards

    def judges(self, source: str) -> bool:
        return not self.sources or source in self.sources


class Panel:
    """Judges of one run or round. Its calls run on one event loop in a thread; close it when done."""

    def __init__(
        self, members: Sequence[Member], *, paths: int, sample: float, budget: Budget, risk: float = 0.0
    ) -> None:
        self.members: Mapping[str, Member] = {member.judge.name: member for member in members}
        self.paths, self.risk, self._sample, self._budget = paths, risk, sample, budget
        self.retry = True  # ask failures again that an earlier run recorded
        self.stop: Callable[[], bool] = lambda: False  # whether to ask no further pair
        self._watches = {name: Watch(name) for name in self.members}
        self._portal = Portal()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The judges, in the order of the config."""
        return tuple(self.members)

    @property
    def simulated(self) -> tuple[str, ...]:
        """Those whose answers are simulated."""
        return tuple(name for name, member in self.members.items() if member.judge.simulated)

    @property
    def remote(self) -> tuple[str, ...]:
        """Those whose calls leave the process: they cost time or money."""
        return tuple(name for name, member in self.members.items() if member.judge.remote)

    def judge(
        self,
        name: str,
        pairs: Sequence[Pair],
        store: JudgmentStore,
        *,
        instead: Judge | None = None,
        progress: Callable[[int], object] = lambda _: None,
    ) -> ShardReport:
        """Have one judge grade one shard, from sync code and from several threads at once: see `judge_shard`.

        The pairs are those of sources that it judges (`wanted`). `instead` is asked in the judge's place and
        within its limits: the same judge in a debate. `progress` is told of further pairs that are done.
        Raises JudgeError where the judge has gone away meanwhile (`watch`), and then for every further shard,
        until `prove` has found it at work again.
        """
        manner = Manner(self._sample, self.retry, self.stop, progress)
        return self._portal.call(self._judge, self.members[name], instead, pairs, store, manner)

    async def _judge(
        self,
        member: Member,
        instead: Judge | None,
        pairs: Sequence[Pair],
        store: JudgmentStore,
        manner: Manner,
    ) -> ShardReport:
        self._budget.already_paid(await asyncio.to_thread(store.spent))
        watch = self._watches[member.judge.name]
        prove = partial(self._prove, member.judge, store, current_trace_id())
        return await judge_shard(
            instead or member.judge,
            pairs,
            store,
            paths=self.paths,
            risk=self.risk,
            slots=member.slots,
            manner=manner,
            watch=ShardWatch(watch, store, prove),
        )

    def wanted(self, name: str, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a pairs frame that this judge is to grade, by their source."""
        member = self.members[name]
        if not member.sources or "source" not in frame:
            return frame
        return frame[frame["source"].isin(member.sources)]

    def judges_of(self, source: str) -> tuple[str, ...]:
        """Those that grade the pairs of a source, in the order of the config."""
        return tuple(name for name, member in self.members.items() if member.judges(source))

    def groups(self, frame: pd.DataFrame) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
        """The rows of a pairs frame by the judges that grade them: the same judges, the same group."""
        if "source" not in frame:
            return [(self.names, frame)]
        judges = frame["source"].map({source: self.judges_of(source) for source in set(frame["source"])})
        return [(names, frame[judges.map(names.__eq__).astype(bool)]) for names in dict.fromkeys(judges)]

    def recorded(
        self, name: str, frame: pd.DataFrame, store: JudgmentStore, *, instead: Judge | None = None
    ) -> dict[PairKey, Judgment]:
        """What a judge has said of the pairs of a frame, failures too; a pair without one is left out."""
        judge = instead or self.members[name].judge
        keys = [cache_key(judge, pair, self.paths, self.risk) for pair in pairs_of(frame)]
        return {judgment.key: judgment for judgment in store.get(keys).values()}

    def open_to(self, name: str, frame: pd.DataFrame, store: JudgmentStore) -> int:
        """How many pairs of a frame a judge would be asked for: those of which it has no final word."""
        said = self.recorded(name, frame, store).values()
        return len(frame) - sum(is_final(judgment, retry=self.retry) for judgment in said)

    def judgments(self, frame: pd.DataFrame, store: JudgmentStore) -> list[Judgment]:
        """What the panel has said of a pairs frame, in its order, each pair's judges in theirs.

        A judge that was to grade a pair and has no judgment in the store is left out.
        """
        place = {
            PairKey(*key): row for row, key in enumerate(zip(frame["query_id"], frame["doc_id"], strict=True))
        }
        found: list[Judgment] = []
        for name in self.members:
            found += self.recorded(name, self.wanted(name, frame), store).values()
        order = {name: number for number, name in enumerate(self.members)}
        return sorted(found, key=lambda judgment: (place[judgment.key], order[judgment.judge]))

    def prove(self, store: JudgmentStore | None = None, trace_id: str = "") -> dict[str, str]:
        """Have each judge show that it works: a sentence where it does not, "" where it does.

        Costs a call or two of each remote judge, which go into the ledger of `store`, where there is one, and
        are within what is left of the budget there. Raises BudgetExceededError where they could pass it.
        """
        try:
            found = {
                name: self._portal.call(self._prove, member.judge, store, trace_id)
                for name, member in self.members.items()
            }
        finally:
            self.rest()
        for name, complaint in found.items():
            if not complaint:
                self._watches[name].proven()
        return found

    async def _prove(self, judge: Judge, store: JudgmentStore | None, trace_id: str) -> str:
        record: Record = unrecorded
        if store is not None and judge.remote:
            self._budget.already_paid(await asyncio.to_thread(store.spent))
            record = Trials(judge.name, store, trace_id)
        try:
            return await judge.prove(record)
        except BudgetExceededError:  # it may well work
            raise
        except JudgeError as error:
            return str(error)

    def rest(self) -> None:
        """Have models that run in this process leave the device to others, until they are asked again."""
        ENGINES.rest()

    def cancel(self) -> None:
        """Give up the calls in flight; those that a server has answered meanwhile are lost, and counted."""
        self._portal.cancel()

    def close(self) -> None:
        """Free the judges and their loop. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        try:
            for member in self.members.values():
                self._portal.call(member.judge.close)
        finally:
            self._portal.close()


def pairs_of(frame: pd.DataFrame) -> list[Pair]:
    """The rows of a pairs frame as judges see them: ids, texts and language, and whether they are asked
    again; nothing else."""
    missing = {"title": "", "language": "", "again": 0}
    optional = [frame[name] if name in frame else [value] * len(frame) for name, value in missing.items()]
    columns = [frame["query_id"], frame["doc_id"], frame["query"], frame["text"], *optional]
    return [Pair(*row) for row in zip(*columns, strict=True)]


def open_panel(
    settings: Settings,
    truth: Mapping[PairKey, int] | None = None,
    *,
    knowledge: Callable[[], Searchable] | None = None,
    own: Callable[[], OwnModel] | None = None,
) -> Panel:
    """The judges that the settings name. `truth`, the sealed grades, is handed to simulated judges alone;
    `knowledge` opens what judges that are agents may search, `own` the model in use for a judge that grades
    by it; they are called where there is one.

    Raises ConfigError where there are none, where two bear one name, or where one cannot be.
    """
    if not settings.judges:
        raise ConfigError(
            "the config names no judge.",
            "Add one under `judges:`, for instance `openai:gpt-4o` or `http://localhost:8000/v1#MODEL`.",
        )
    budget = Budget(settings.budget.currency)
    opening = Opening(settings, truth, budget, knowledge, own)
    members: list[Member] = []
    for number, judge in enumerate(settings.judges, start=1):
        spec = parse_backend(judge.backend)
        _check_grades(judge)
        name = judge.name or (spec.name if spec.model else f"{spec.name}-{number}")
        if any(member.judge.name == name for member in members):
            raise ConfigError(
                f"two judges are called `{name}`.", "Give each a `name:` of its own under `judges:`."
            )
        members.append(
            Member(
                BUILDERS[spec.kind](name, spec, judge, opening),
                judge.sources,
                asyncio.Semaphore(settings.llm.shard if spec.batched else settings.llm.concurrency),
            )
        )
    agreement, sample = settings.agreement, settings.tracing.sample
    return Panel(members, paths=agreement.paths, risk=agreement.path_risk, sample=sample, budget=budget)


def _check_grades(judge: JudgeSettings) -> None:
    wrong = sorted(grade for grade in judge.grades.values() if grade not in GRADES)
    if wrong:
        raise ConfigError(
            f"judge `{judge.label}`: its `grades` map leads to {wrong[0]}.",
            "What a value is mapped to is a grade from 0 to 3.",
        )
