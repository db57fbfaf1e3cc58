"""What the judges of a round will be asked, and what that takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from serm.agents.prompt import Prompt, read_prompt
from serm.core.columns import KEY
from serm.core.records import Pair
from serm.core.settings import Settings
from serm.core.settings_loop import JudgeSettings
from serm.llm.budget import TOKENS_AROUND, cost, price_of
from serm.llm.prices import is_free
from serm.llm.spec import parse_backend
from serm.storage.judge_totals import JudgeTotals, graded_pairs, judge_totals

SAMPLE: Final = 300
"""Pairs of the window whose prompts are counted."""
GRADE_TOKENS: Final = 12
"""Of an answer that is a grade alone, as JSON; chosen."""
REASON_TOKENS: Final = 60
"""Of a reason beside it; chosen."""
LATENCY: Final = 2.0
"""Seconds that a call is taken for where none was timed; chosen."""
CALLED: Final = ("openai", "http", "langchain", "vllm")
"""Kinds of backends that are a language model; the others answer from a file or a formula."""

CountTokens = Callable[[Sequence[str]], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a round has graded: pairs frames, of which `source` says whose judges grade a pair."""

    window: pd.DataFrame
    mined: int  # pairs of the window that are chosen
    gate: pd.DataFrame  # pairs that the panel grades for the gate beside them
    gold: pd.DataFrame  # human-graded ones that it is weighed on


@dataclass(frozen=True, slots=True)
class JudgeForecast:
    """One judge in one round. `most` counts every reasoning path, and of a judge of some sources as many
    mined pairs as they have: the miner may choose of them alone. Early stopping asks fewer."""

    judge: str
    backend: str
    sources: tuple[str, ...]  # none: all
    pairs: int  # mined ones by its sources' share of the window, the gate's and those that it is weighed on
    mined_most: int
    pairs_most: int
    calls: int  # one path a pair, of `pairs`
    calls_most: int
    tokens_in: int  # of `calls_most`
    tokens_out: int
    cost: float | None  # of `calls_most`; None: no price is stated
    seconds: float | None  # of `calls_most`; None: not a model that is called
    basis: str  # what the figures come from

    @property
    def a_pair(self) -> float:
        """What all paths of a pair cost."""
        return (self.cost or 0.0) / max(self.pairs_most, 1)


def forecast_judges(
    settings: Settings, wanted: Wanted, database: str, count: CountTokens
) -> tuple[JudgeForecast, ...]:
    """Each judge of the config. `database`: URL of the judgments so far; `count` gives texts' tokens."""
    measured = judge_totals(database)
    return tuple(
        _judge(settings, judge, wanted, database=database, measured=measured, count=count)
        for judge in settings.judges
    )


def cost_at_most(judges: Sequence[JudgeForecast], window: pd.DataFrame, mined: int) -> float:
    """What the judges with a price cost together: a mined pair goes to the judges of one source, so this is
    less than the sum of theirs. The dearest source's pairs are taken to be mined first."""
    fixed = sum((judge.pairs_most - judge.mined_most) * judge.a_pair for judge in judges)
    dearest = sorted(
        (-sum(judge.a_pair for judge in judges if not judge.sources or source in judge.sources), size)
        for source, size in window["source"].value_counts().items()
    )
    total, left = fixed, mined
    for saved, size in dearest:
        total -= saved * min(left, size)
        left -= min(left, size)
    return total


def _judge(
    settings: Settings,
    judge: JudgeSettings,
    wanted: Wanted,
    *,
    database: str,
    measured: Mapping[str, JudgeTotals],
    count: CountTokens,
) -> JudgeForecast:
    spec = parse_backend(judge.backend)
    name = judge.name or spec.name
    own, gate, gold = (_of(judge, frame) for frame in (wanted.window, wanted.gate, wanted.gold))
    gold = gold[~_keys(gold).isin(_keys(gate))]
    called = spec.kind in CALLED
    prompt = read_prompt(judge.prompt, settings.folder, judge.document_limit) if called else None
    if prompt and not judge.knowledge:  # what it may find has changed: it is asked again
        gold = gold[~_keys(gold).isin(graded_pairs(database, name, spec.model, prompt.hash))]
    fixed, most = len(gate) + len(gold), min(wanted.mined, len(own))
    pairs = round(wanted.mined * len(own) / max(len(wanted.window), 1)) + fixed
    if prompt is None:
        basis = f"{spec.kind}: no calls"
        return JudgeForecast(
            name, spec.text, judge.sources, pairs, most, most + fixed, 0, 0, 0, 0, 0.0, None, basis
        )
    calls = (most + fixed) * settings.agreement.paths
    price = price_of(settings.llm.prices, name, spec.model)
    past = measured.get(name)
    if past is not None and past.calls:
        read, written = past.tokens_in / past.calls, past.tokens_out / past.calls
        latency, basis = past.latency / past.calls, f"{past.calls:,} calls of earlier rounds"
    else:
        read, written = _estimated(settings, prompt, own, count)
        latency, basis = LATENCY, "prompts counted, answers and latency assumed"
    if judge.knowledge:
        basis += "; a judge that searches makes further turns, which are not in it"
    tokens_in, tokens_out = round(calls * read), round(calls * written)
    return JudgeForecast(
        judge=name,
        backend=spec.text,
        sources=judge.sources,
        pairs=pairs,
        mined_most=most,
        pairs_most=most + fixed,
        calls=pairs,
        calls_most=calls,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost=None if price is None and not is_free(spec) else cost(price, tokens_in, tokens_out),
        seconds=_seconds(settings, calls, latency, tokens_in + tokens_out),
        basis=basis,
    )


def _of(judge: JudgeSettings, frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["source"].isin(judge.sources)] if judge.sources else frame


def _keys(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[list(KEY)])


def _estimated(
    settings: Settings, prompt: Prompt, window: pd.DataFrame, count: CountTokens
) -> tuple[float, float]:
    """Tokens read and written by a call, from the prompts of a sample of the window's pairs."""
    some = window.sample(min(SAMPLE, len(window)), random_state=settings.random_seed)
    texts = [
        "\n".join(str(message["content"]) for message in prompt.messages(_pair(row)))
        for row in some.to_dict("records")
    ]
    read = sum(count(texts)) / max(len(texts), 1) + TOKENS_AROUND
    written = GRADE_TOKENS + (REASON_TOKENS if "reason" in prompt.fields else 0)
    return read, float(min(written, settings.llm.max_tokens))


def _pair(row: Mapping[Any, Any]) -> Pair:
    query_id, doc_id, query, text, title, language = (
        str(row.get(name) or "") for name in ("query_id", "doc_id", "query", "text", "title", "language")
    )
    return Pair(query_id, doc_id, query, text, title=title, language=language)


def _seconds(settings: Settings, calls: int, latency: float, tokens: int) -> float:
    """By the calls in flight, or by the rate limits where those are slower."""
    llm = settings.llm
    limits = [calls * latency / llm.concurrency]
    if llm.requests_per_minute is not None:
        limits.append(60 * calls / llm.requests_per_minute)
    if llm.tokens_per_minute is not None:
        limits.append(60 * tokens / llm.tokens_per_minute)
    return max(limits)
