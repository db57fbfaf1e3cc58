"""Doctor: can the judges work, and have recorded ones an answer to what they will be asked?"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from serm.agents.model_judge import OwnModel
from serm.agents.panel import Panel, open_panel, pairs_of
from serm.agents.proof import OUTSIDE_BOUND, Proof
from serm.cli.checks import Finding, Patient, Status
from serm.cli.format import count
from serm.core.records import FailureKind
from serm.llm.replay import ReplayJudge
from serm.llm.simulated import SimulatedJudge
from serm.storage.knowledge import NoKnowledge
from serm.storage.sealed import SealedGrades

COVERED: Final = 0.9  # share of a window's pairs with a recorded answer under which it is warned of; chosen
SHOWN: Final = 3  # windows that are named

Counts = Counter[FailureKind | None]
"""Answers by what went wrong; None: a grade."""


def check_judges(patient: Patient) -> Iterator[Finding]:
    agreement = patient.settings.agreement
    with _panel(patient) as panel:
        for name, complaint in panel.prove().items():
            yield _proven(panel, name, complaint)
        if len(panel.names) == 1:
            yield Finding("judges", Status.WARN, "one judge alone: all it says becomes a label.", _MORE)
        elif len(panel.names) < agreement.min_judges:
            few = f"{len(panel.names)} judges are fewer than `agreement.min_judges` ({agreement.min_judges})."
            yield Finding("judges", Status.WARN, few, _MORE)


def _proven(panel: Panel, name: str, complaint: str) -> Finding:
    if complaint:
        return Finding("judges", Status.FAIL, f"{name}: {complaint}", _REMEDY)
    proof: Proof | None = getattr(panel.members[name].judge, "proof", None)
    sealed = isinstance(panel.members[name].judge, SimulatedJudge)
    simulated = f", SIMULATED{': its answers come from the sealed grades' if sealed else ''}"
    simulated = simulated if name in panel.simulated else ""
    sentence = f"{name} works{simulated}{f': {proof}' if proof else ''}."
    if proof is None or proof.healthy:
        return Finding("judges", Status.PASS, sentence)
    remedies = [
        "" if proof.constrained else "Answers that cannot be read are asked again.",
        "" if (proof.outside or 0.0) <= OUTSIDE_BOUND else _ELSEWHERE,
        "Its shares may be too small for grades that are not listed." if proof.unseen else "",
    ]
    return Finding("judges", Status.WARN, sentence, " ".join(filter(None, remedies)))


_ELSEWHERE: Final = "It would rather write something else than a grade: try another prompt."
_MORE: Final = "Two judges that err differently catch each other's mistakes."
_REMEDY: Final = (
    "Check `judges`: the address, the model's name and the key (`api_key_env`); and `llm.max_tokens` where "
    "it was cut off."
)


def check_coverage(patient: Patient) -> Iterator[Finding]:
    """What recorded judges answer of the pairs they may be asked, and whether enough can in each window."""
    with _panel(patient) as panel:
        data, least = patient.dataset, patient.settings.agreement.min_judges
        found: dict[str, dict[str, Counts]] = {name: {} for name in panel.names}
        short = []
        for window in data.windows:
            frame = data.window(window.index)
            asked = answering = 0
            for name, item in panel.members.items():
                wanted = panel.wanted(name, frame)
                if wanted.empty:
                    continue
                asked, able = asked + 1, True
                if isinstance(item.judge, ReplayJudge):
                    found[name][window.name] = _answers(item.judge, wanted)
                    able = found[name][window.name][None] > 0
                answering += able
            if answering < max(1, min(least, asked)):  # the panel's own rule, see tools/peer_vote.py
                short.append(window.name)
        for name, item in panel.members.items():
            if isinstance(item.judge, ReplayJudge):
                yield _covered(name, found[name])
    if short:
        yield Finding(
            "coverage",
            Status.FAIL,
            f"{_named(short)}: too few judges have answers, so that every pair would fail.",
            "Add judges, or lower `agreement.min_judges`.",
        )


def _covered(judge: str, answers: Mapping[str, Counts]) -> Finding:
    total = Counter[FailureKind | None]()
    for said in answers.values():
        total += said
    pairs, missing = total.total(), total[FailureKind.MISSING]
    if not pairs:
        sentence = f"{judge}: no window has a pair of its `sources`."
        return Finding("coverage", Status.WARN, sentence, "Check its `sources` under `judges`.")
    bad = pairs - missing - total[None]
    sentence = f"{judge}: an answer to {(pairs - missing) / pairs:.1%} of {count(pairs, 'pair')}"
    if bad:
        sentence += f", {bad:,} of them no grade"
    thin = [
        window for window, said in answers.items() if said[FailureKind.MISSING] > (1 - COVERED) * said.total()
    ]
    if thin:
        sentence += f"; under {COVERED:.0%} in {_named(thin)}"
    remedy = "Where it has no grade it counts as failed." if thin or bad else ""
    return Finding("coverage", Status.WARN if thin or bad else Status.PASS, f"{sentence}.", remedy)


def _named(windows: Sequence[str]) -> str:
    rest = f" and {len(windows) - SHOWN} more" if len(windows) > SHOWN else ""
    return f"window{'s' if len(windows) > 1 else ''} {', '.join(windows[:SHOWN])}{rest}"


def _answers(judge: ReplayJudge, frame: pd.DataFrame) -> Counts:
    async def ask() -> Counts:
        said = [await judge.answer(pair, 0) for pair in pairs_of(frame)]
        return Counter(None if answer.failure is None else answer.failure.kind for answer in said)

    return asyncio.run(ask())


def _panel(patient: Patient) -> Panel:
    """The judges; simulated ones are given the sealed grades of all windows."""

    def sealed() -> pd.DataFrame:
        data = patient.dataset
        return pd.concat([data.sealed(window.index) for window in data.windows])

    def own() -> OwnModel:
        return OwnModel("", lambda _: np.zeros(4, dtype=np.float32))  # it is not asked here

    return open_panel(patient.settings, SealedGrades(sealed), knowledge=NoKnowledge, own=own)
