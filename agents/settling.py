"""From judgments to labels: the chair of each jury settles its pairs, before a debate and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from serm.agents.chair import ChairReport, chair
from serm.agents.inquiry import Juries, Said, keys_of
from serm.agents.jury import Jury
from serm.agents.loop import Decide
from serm.agents.panel import Panel
from serm.core.records import Label, Outcome, PairKey


def settle(
    panel: Panel,
    juries: Juries,
    frame: pd.DataFrame,
    said: Said,
    decide: Decide | None,
    *,
    max_steps: int,
    told: Callable[[Jury, ChairReport], object] = lambda _jury, _report: None,
) -> list[Label]:
    """A label for each pair of a frame, in its order. A pair of a source that nobody judges has failed.
    `told` hears how the chair of each jury came to its labels."""
    found: dict[PairKey, Label] = {}
    for judges, rows in panel.groups(frame):
        if not judges:
            continue
        jury = juries[judges]
        judgments = [judgment for key in keys_of(rows) for judgment in said[key]]
        report = chair(judgments, jury.agreement, decide, max_steps=max_steps, reliability=jury.reliability)
        told(jury, report)
        found |= {label.key: label for label in report.labels}
    return [found.get(key) or _unjudged(key) for key in keys_of(frame)]


def after(labels: Sequence[Label], debated: Sequence[Label]) -> list[Label]:
    """All labels once a debate is over: what it made the panel keep is marked as its outcome."""
    settled: Mapping[PairKey, Label] = {
        label.key: replace(label, outcome=Outcome.DEBATE) if label.outcome.kept else label
        for label in debated
    }
    return [settled.get(label.key, label) for label in labels]


def _unjudged(key: PairKey) -> Label:
    return Label(*key, grade=None, distribution=None, outcome=Outcome.FAILED, votes=())
