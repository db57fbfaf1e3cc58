"""What the panel has said of a frame so far, and what is to be asked next: read from the store alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.agents.jury import Jury
from serm.agents.panel import Panel
from serm.core.columns import KEY
from serm.core.records import Failure, FailureKind, Judgment, PairKey
from serm.storage.judgments import JudgmentStore

Juries = Mapping[tuple[str, ...], Jury]
"""By the judges of a source."""
Said = Mapping[PairKey, Sequence[Judgment]]
"""By pair, in the order of the frame; a judgment for each judge that was asked, failures too."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """The state of things before a wave: `said` by the waves before, `asking` the rows of each judge now."""

    said: Said
    asking: Mapping[str, pd.DataFrame]


def inquire(panel: Panel, juries: Juries, frame: pd.DataFrame, store: JudgmentStore, wave: int) -> Inquiry:
    """What stands before wave number `wave`, from 0; with a number past the last wave, what was said at all.

    It depends on what the waves before have recorded and on nothing else, so that a run that was killed asks
    the same again. A judge whose answer is not in the store was not asked for want of money.
    """
    said: dict[PairKey, list[Judgment]] = {key: [] for key in keys_of(frame)}
    asking: dict[str, list[pd.DataFrame]] = {}
    for judges, group in panel.groups(frame):
        jury, rows = juries[judges], group
        for number, names in enumerate(jury.waves[: wave + 1]):
            rows = rows[_mask(not jury.settled(votes_of(said[key])) for key in keys_of(rows))]
            if number == wave:
                for name in names:
                    asking.setdefault(name, []).append(rows)
                break
            for name in names:
                found = panel.recorded(name, rows, store)
                for key in keys_of(rows):
                    said[key].append(found.get(key) or not_asked(panel, name, key))
        place = {name: number for number, name in enumerate(judges)}
        for key in keys_of(group):
            said[key].sort(key=lambda judgment: place[judgment.judge])
    frames = {name: pd.concat(parts) for name, parts in asking.items()}
    return Inquiry(said, {name: rows for name, rows in frames.items() if len(rows)})


def _mask(values: Iterable[bool]) -> NDArray[np.bool_]:
    return np.fromiter(values, dtype=bool)


def keys_of(frame: pd.DataFrame) -> list[PairKey]:
    """The pairs of a frame, in its order."""
    return [PairKey(*key) for key in zip(*(frame[name] for name in KEY), strict=True)]


def votes_of(judgments: Sequence[Judgment]) -> tuple[tuple[str, int | None], ...]:
    """(judge, grade or None) of each."""
    return tuple((judgment.judge, judgment.grade) for judgment in judgments)


def not_asked(panel: Panel, name: str, key: PairKey) -> Judgment:
    """What stands in for a judgment that the money did not reach: a failure, in no store."""
    judge = panel.members[name].judge
    return Judgment(
        query_id=key.query_id,
        doc_id=key.doc_id,
        judge=name,
        grade=None,
        failure=Failure(FailureKind.OVER_BUDGET, "it was not asked: the budget was reached"),
        distribution=None,
        paths=(),
        rationale="",
        tokens_in=0,
        tokens_out=0,
        cost=0.0,
        latency=0.0,
        requests=0,
        prompt_hash=judge.prompt_hash,
        model=judge.model,
        revision=judge.revision,
        simulated=judge.simulated,
        cache_key="",
    )
