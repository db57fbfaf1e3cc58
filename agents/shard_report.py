"""What the calls of a shard come to: judgments, spans and a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from serm.agents.paths import conclude, mean_distribution
from serm.core.hashing import unit_interval
from serm.core.records import Answer, Judgment, Pair, Step
from serm.llm.base import Judge
from serm.storage.trace import SpanKind, span


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What became of a shard. `asked + recorded` is its number of pairs."""

    judge: str
    asked: int
    recorded: int  # found in the store, not asked
    graded: int
    failed: int
    requests: int  # HTTP requests of this call alone, and what they took
    tokens_in: int
    tokens_out: int
    cost: float
    failures: Mapping[str, int]  # kind: number
    outside: float | None = None  # mean probability mass on no grade, of the judgments that say it

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    def summary(self) -> dict[str, object]:
        return {
            "asked": self.asked,
            "recorded": self.recorded,
            "graded": self.graded,
            "failed": self.failed,
            "requests": self.requests,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "cost": self.cost,
            "failures": dict(self.failures),
            **({} if self.outside is None else {"outside": self.outside}),
        }


def judgment_of(judge: Judge, key: str, pair: Pair, answers: Sequence[Answer], trace_id: str) -> Judgment:
    """One judge's word on one pair, from the paths that it was asked along."""
    grade, failure = conclude(answers)
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
        trace_id=trace_id,
        outside=mean_outside(answers),
    )


def mean_outside(said: Iterable[Answer | Judgment]) -> float | None:
    """Mean probability mass that lay on no grade, over what says it; None where nothing does."""
    masses = [one.outside for one in said if one.outside is not None]
    return sum(masses) / len(masses) if masses else None


def trace_call(judge: Judge, pair: Pair, path: int, answer: Answer, *, began: int, sample: float) -> None:
    """Keep a span of the call: of every failure, and of a share that the pair's hash chooses.

    `began` is in ns since the epoch.
    """
    chosen = unit_interval("call span", judge.name, *pair.key, path) < sample
    if answer.failure is None and not chosen:
        return
    with span(f"call {judge.name}", SpanKind.CALL, **pair.key._asdict(), path=path) as current:
        current.started = began
        current.outputs = {"grade": answer.grade, "rationale": answer.rationale}
        current.attributes = {
            "model": judge.model,
            "simulated": judge.simulated,
            "requests": answer.requests,
            "tokens_in": answer.tokens_in,
            "tokens_out": answer.tokens_out,
            "cost": answer.cost,
        }
        if answer.failure is not None:
            current.error = f"{answer.failure.kind}: {answer.failure.message}"
        for step in answer.steps:
            _trace_step(step)


def _trace_step(step: Step) -> None:
    """What an agent did, under the span of its call, as its model wrote it."""
    with span(step.tool, SpanKind.TOOL, given=step.given) as current:
        current.started, current.ended = step.began, step.ended
        current.outputs, current.error = step.result, step.error


def report_of(
    judge: str,
    keys: Sequence[str],
    done: Mapping[str, Judgment],
    fresh: Mapping[str, Judgment],
    answers: Sequence[Answer],
) -> ShardReport:
    """Over all pairs of a shard (`keys`): those that were recorded and those that were asked now."""
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
        tokens_in=sum(answer.tokens_in for answer in answers),
        tokens_out=sum(answer.tokens_out for answer in answers),
        cost=sum(answer.cost for answer in answers),
        failures=dict(kinds),
        outside=mean_outside(all_of[key] for key in keys),
    )
