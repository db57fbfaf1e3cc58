"""Relevance judgments and nothing else: `annotate(pairs, settings)` has a panel label a frame of pairs.

    from serm.core import Settings
    from serm.graphs import annotate

    found = annotate(pairs, Settings.from_yaml("judges.yaml"))     # a frame of query_id, query, doc_id, text
    found.labels[["query_id", "doc_id", "grade", "outcome"]]

The graph is the annotator of the loop. Its judgments stay in `annotate/` inside the config's workspace: what
was asked once is not asked again, after a kill neither, and under another agreement rule neither.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from serm.agents.inquiry import Said
from serm.core.errors import BudgetExceededError, ConfigError
from serm.core.records import Judgment, Outcome
from serm.core.settings import Settings
from serm.graphs.annotator import annotator_graph
from serm.graphs.bench import ANNOTATION, LABELS, Bench, State
from serm.graphs.control import Control
from serm.graphs.events import Listener, nobody
from serm.graphs.pairs_resources import PairsResources
from serm.graphs.steering import steered
from serm.storage.labels import read_labels
from serm.storage.pairs import check_pairs
from serm.storage.reading import read_json
from serm.storage.recording import recording
from serm.storage.trace import Span, SpanKind, fallen_back

ROUND = 1
"""The only one."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What came of a frame of pairs."""

    labels: pd.DataFrame  # as storage/labels.py reads them, in the order of the pairs
    counts: dict[str, Any]  # annotation.json, and what the ledger knows (docs/annotate.md)
    judgments: (
        pd.DataFrame
    )  # what each judge said, a debate and the gold pairs among it (storage/recording.py)
    over_budget: str  # the sentence with which the budget ended the asking; "" where it did not
    folder: Path  # of the labels, in the workspace
    trace_id: str = ""  # of what was done: `read_trace(settings, trace_id=...)`


def annotate(
    pairs: pd.DataFrame,
    settings: Settings,
    *,
    gold: pd.DataFrame | None = None,
    on_event: Listener = nobody,
    retry_failed: bool = False,
    control: Control | None = None,
) -> Annotation:
    """Have the panel of `settings` label `pairs`: query_id, query, doc_id, text, perhaps title and language.

    `gold` are further pairs, with a human `grade`, that the rule `reliability` learns from. A column `grade`
    of the pairs is read by `simulated:` judges alone. A judgment that failed is kept as a failure; with
    `retry_failed` those are asked again, and they alone where all else is recorded. Where the budget ends,
    what could not be asked counts as failed (`over_budget`), and a call with a larger one goes on from there.

    Raises DataError for a bad row, ConfigError where the rule needs gold, JudgeError where a judge cannot
    work, StopRequestedError (llm/brake.py) once `control` asked to stop and the calls in flight have
    ended or were given up: what was judged is kept, and the same call goes on. Ctrl-C gives them up, too.
    """
    if settings.agreement.rule == Outcome.RELIABILITY.value and gold is None:
        raise ConfigError(
            "the rule `reliability` learns from human-graded pairs, and there are none.",
            "Give some as gold (`--gold PAIRS`), or set agreement.rule to unanimous or majority.",
        )
    checked = check_pairs(pairs)
    with (
        PairsResources(settings, checked, _graded(gold), on_event) as resources,
        steered(resources, control),
    ):
        panel = resources.panel(ROUND)
        panel.retry = retry_failed
        graph, began = annotator_graph(resources), time.time_ns()
        start = {"round": ROUND, "sample": resources.name}
        over_budget = ""
        try:
            state = graph.invoke(start)
        except BudgetExceededError as error:  # what is recorded is labelled, and nothing more is asked
            over_budget = error.message
            state = graph.invoke({**start, "closed": over_budget})
        folder = resources.workspace.labels / state["labels"]
        counts = read_json(folder / ANNOTATION)
        counts |= {
            "lost_calls": resources.judgments.lost_calls(),
            "lost_turns": resources.judgments.lost_turns(),
            "simulated_judges": list(panel.simulated),
            "accounts": [asdict(item) for item in resources.judgments.accounts(resources.trace_id(ROUND))],
            "fell_back": fallen_back(resources.workspace.traces, resources.trace_id(ROUND)),
        }
        _end_trace(resources, began, counts)
        return Annotation(
            labels=read_labels(folder / LABELS),
            counts=counts,
            judgments=recording(_judgments(Bench(resources), state)),
            over_budget=over_budget,
            folder=folder,
            trace_id=resources.trace_id(ROUND),
        )


def _graded(gold: pd.DataFrame | None) -> pd.DataFrame | None:
    """Gold pairs that bear a grade. Raises ConfigError where none does."""
    if gold is None:
        return None
    graded = check_pairs(gold, "gold").dropna(subset=["grade"])
    if graded.empty:
        raise ConfigError("no gold pair has a grade.", "Gold pairs bear a human grade, from 0 to 3.")
    return graded


def _judgments(bench: Bench, state: State) -> Iterator[Judgment]:
    """All that the labels rest on, as it is in the store."""
    parts: list[Said] = [bench.said(state)]
    if state["gold"]:
        parts.append(bench.gold_inquiry(state, 1).said)
    for said in parts:
        for judgments in said.values():
            yield from (judgment for judgment in judgments if judgment.cache_key)
    if debated := state.get("debated"):
        debate = bench.debate({**state, "labels": debated})
        for name, judge in debate.judges.items():
            yield from (
                bench.panel(state).recorded(name, debate.rows[name], bench.store, instead=judge).values()
            )


def _end_trace(resources: PairsResources, began: int, counts: dict[str, Any]) -> None:
    trace_id = resources.trace_id(ROUND)
    resources.tracer(ROUND).write(
        Span(
            trace_id=trace_id,
            span_id=trace_id,
            parent_id=None,
            name="annotate",
            kind=SpanKind.ROUND,
            started=began,
            inputs={"pairs": counts["pairs"]},
            outputs={"outcomes": counts["outcomes"]},
            ended=time.time_ns(),
        )
    )
