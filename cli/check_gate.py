"""Doctor: could the gate see a change at all?"""

from __future__ import annotations

import math
from collections.abc import Iterator

from serm.cli.checks import Finding, Patient, Status
from serm.cli.format import count
from serm.evals.bootstrap import detectable_with
from serm.evals.power import SPREAD, last_spread, queries_for
from serm.evals.same_text import mixed_texts
from serm.storage.rounds import read_rounds


def check_gate(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings.gate
    if not settings.enabled:
        yield Finding("gate", Status.WARN, "the gate is off: every new model is promoted.")
        return
    measured = last_spread(read_rounds(patient.settings.workspace_path / "rounds"))
    spread = measured or SPREAD
    rounds = {"in the first round": 0, "in the last round": len(patient.dataset.windows)}
    for when, index in rounds.items():
        queries = len(mixed_texts(patient.dataset.gate(index)))
        what = f"{count(queries, 'gate query', 'gate queries')} with more than one grade {when}"
        if queries < 2:
            whose = "every new model" if index else "the first new model"
            sentence = f"{what}: too few to decide on, so {whose} is rolled back."
            yield Finding(
                "gate", Status.FAIL, sentence, "Give `data.sets` more gate queries, or `seed_gate`."
            )
            continue
        reach = detectable_with(queries, spread, settings.level)
        if reach <= settings.margin:
            sentence = f"{what}: it sees changes from about {reach * 100:.1f} points."
            yield Finding("gate", Status.PASS, sentence)
            continue
        more = queries_for(settings.margin, spread, settings.level) - queries
        yield Finding(
            "gate",
            Status.WARN,
            f"{what}: underpowered, it sees changes from about {reach * 100:.1f} points, and `gate.margin` "
            f"is {settings.margin:g} ({settings.margin * 100:.1f} points).",
            f"About {more:,} more human-graded queries would do, or a margin of "
            f"{math.ceil(1000 * reach) / 1000:g}; without either, good models are often rolled back.",
        )
