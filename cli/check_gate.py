"""Doctor: could the gate see a change at all?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from serm.cli.checks import Finding, Patient, Status
from serm.cli.format import count
from serm.evals.bootstrap import detectable, queries_needed
from serm.evals.power import SPREAD


def check_gate(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings.gate
    if not settings.enabled:
        yield Finding("gate", Status.WARN, "the gate is off: every new model is promoted.")
        return
    rounds = {"in the first round": 0, "in the last round": len(patient.dataset.windows)}
    for when, index in rounds.items():
        grades = patient.dataset.gate(index).groupby("query_id")["grade"].nunique()
        queries = int((grades > 1).sum())
        what = f"{count(queries, 'gate query', 'gate queries')} with more than one grade {when}"
        if queries < 2:
            sentence = f"{what}: too few to decide on, so every new model is rolled back."
            yield Finding(
                "gate", Status.FAIL, sentence, "Give `data.sets` more gate queries, or `seed_gate`."
            )
            continue
        spread = SPREAD * np.resize([1.0, -1.0], queries)
        reach = detectable(spread, settings.level)
        if reach <= settings.margin:
            sentence = f"{what}: it sees changes from about {reach * 100:.1f} points."
            yield Finding("gate", Status.PASS, sentence)
            continue
        more = queries_needed(spread, settings.margin, settings.level)
        yield Finding(
            "gate",
            Status.WARN,
            f"{what}: underpowered, it sees changes from about {reach * 100:.1f} points, and `gate.margin` "
            f"is {settings.margin:g} ({settings.margin * 100:.1f} points).",
            f"About {more:,} more human-graded queries would do, or a wider margin (0.02 is two points); "
            "without either, good models are often rolled back.",
        )
