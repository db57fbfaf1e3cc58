"""What a round will take, from the config, the texts of its window and what earlier rounds took."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from serm.agents.prompt import read_prompt
from serm.core.columns import KEY
from serm.core.records import Pair
from serm.core.settings import Settings
from serm.core.settings_loop import JudgeSettings
from serm.evals.power import SPREAD, measured_spread, queries_for
from serm.graphs.resources import Resources
from serm.llm.budget import TOKENS_AROUND, cost, price_of
from serm.llm.spec import parse_backend
from serm.storage.judge_totals import JudgeTotals, judge_totals
from serm.storage.rounds import read_rounds

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
class JudgeForecast:
    """One judge in one round. `most` counts every reasoning path; early stopping asks fewer."""

    judge: str
    backend: str
    pairs: int  # mined ones and the gate's
    calls: int  # one path a pair
    calls_most: int
    tokens_in: int  # of `calls_most`
    tokens_out: int
    cost: float  # of `calls_most`
    seconds: float | None  # of `calls_most`; None: not a model that is called
    priced: bool  # a price is stated, or none is needed
    basis: str  # what the figures come from


@dataclass(frozen=True, slots=True)
class GateForecast:
    """What a gate of one margin needs."""

    margin: float  # NDCG@4
    queries: int  # with more than one grade, in all
    missing: int  # of those, beyond the ones that are open in the round
    grades: int  # human grades that the missing ones come to


@dataclass(frozen=True, slots=True)
class Forecast:
    round: int
    window: str
    window_pairs: int
    pairs: int  # that are mined and sent to the panel
    gate_pairs: int  # that the panel grades beside them for the gate, at most (`gate.judged_share`)
    judges: tuple[JudgeForecast, ...]
    seconds: float | None  # that the last round took, all in all; None: there was none
    spread: float  # of the change in NDCG@4 over queries
    spread_measured: bool
    gate_queries: int
    gate: tuple[GateForecast, ...]

    @property
    def cost(self) -> float:
        return sum(judge.cost for judge in self.judges)


def forecast(resources: Resources, number: int, margins: Sequence[float], count: CountTokens) -> Forecast:
    """Forecast round `number`. `count` gives the tokens of texts. Nothing is asked of any judge."""
    settings = resources.settings
    window = resources.pairs(number)
    pairs = min(settings.budget.pairs_of(len(window)), len(window))
    reports = [report for report in read_rounds(resources.workspace.rounds) if report["round"] > 0]
    measured = judge_totals(resources.workspace.judgments_url)
    further = _gate_pairs(resources, number)
    judges = tuple(
        _judge(settings, judge, window, pairs, further, measured=measured, count=count)
        for judge in settings.judges
    )
    gate = resources.human_graded(number).groupby("query_id")["grade"].agg(["nunique", "size"])
    mixed = gate[gate["nunique"] > 1]
    spread = _spread(reports)
    per_query = float(mixed["size"].mean()) if len(mixed) else float(window.groupby("query_id").size().mean())
    return Forecast(
        round=number,
        window=resources.window(number).name,
        window_pairs=len(window),
        pairs=pairs,
        gate_pairs=len(further),
        judges=judges,
        seconds=float(reports[-1]["seconds"]) if reports else None,
        spread=spread or SPREAD,
        spread_measured=spread is not None,
        gate_queries=len(mixed),
        gate=tuple(
            _gate(margin, spread or SPREAD, settings.gate.level, len(mixed), per_query) for margin in margins
        ),
    )


def _gate_pairs(resources: Resources, number: int) -> pd.DataFrame:
    """What the panel grades for the gate in a round: all that is open, less what it graded a round before.
    Pairs that were mined and judged are among them, hence at most."""
    if not resources.settings.gate.judged_share:
        return pd.DataFrame({"source": []})
    rounds = [number] if number == 1 else [number, number - 1]
    now, *before = (
        pd.concat([resources.human_graded(item), resources.judged_only(item)])[[*KEY, "source"]]
        for item in rounds
    )
    if not before:
        return now
    known = pd.MultiIndex.from_frame(before[0][list(KEY)])
    return now[~pd.MultiIndex.from_frame(now[list(KEY)]).isin(known)]


def _judge(
    settings: Settings,
    judge: JudgeSettings,
    window: pd.DataFrame,
    budget: int,
    further: pd.DataFrame,
    *,
    measured: dict[str, JudgeTotals],
    count: CountTokens,
) -> JudgeForecast:
    spec = parse_backend(judge.backend)
    name = judge.name or spec.name
    own = window[window["source"].isin(judge.sources)] if judge.sources else window
    pairs = round(budget * len(own) / max(len(window), 1))
    pairs += int(further["source"].isin(judge.sources).sum()) if judge.sources else len(further)
    if spec.kind not in CALLED:
        return JudgeForecast(name, spec.text, pairs, 0, 0, 0, 0, 0.0, None, True, f"{spec.kind}: no calls")
    calls = pairs * settings.agreement.paths
    price = price_of(settings.llm.prices, name, spec.model)
    past = measured.get(name)
    if past is not None and past.calls:
        read, written = past.tokens_in / past.calls, past.tokens_out / past.calls
        latency, basis = past.latency / past.calls, f"{past.calls:,} calls of earlier rounds"
    else:
        read, written = _estimated(settings, judge, own, count)
        latency, basis = LATENCY, "prompts counted, answers and latency assumed"
    if judge.knowledge:
        basis += "; a judge that searches makes further turns, which are not in it"
    tokens_in, tokens_out = round(calls * read), round(calls * written)
    return JudgeForecast(
        judge=name,
        backend=spec.text,
        pairs=pairs,
        calls=pairs,
        calls_most=calls,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost=cost(price, tokens_in, tokens_out),
        seconds=_seconds(settings, calls, latency, tokens_in + tokens_out),
        priced=price is not None or spec.kind in ("http", "vllm"),
        basis=basis,
    )


def _estimated(
    settings: Settings, judge: JudgeSettings, window: pd.DataFrame, count: CountTokens
) -> tuple[float, float]:
    """Tokens read and written by a call, from the prompts of a sample of the window's pairs."""
    prompt = read_prompt(judge.prompt, settings.folder, judge.document_limit)
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


def _spread(reports: Sequence[Mapping[str, Any]]) -> float | None:
    """The spread of the newest round whose gate measured one."""
    for report in reversed(reports):
        decision = report["decision"]
        change, reach = decision["change"], decision["detectable"]
        found = measured_spread(int(change["n"]), math.nan if reach is None else reach, change["level"])
        if found is not None:
            return found
    return None


def _gate(margin: float, spread: float, level: float, have: int, per_query: float) -> GateForecast:
    needed = queries_for(margin, spread, level)
    missing = max(needed - have, 0)
    return GateForecast(margin, needed, missing, round(missing * per_query))
