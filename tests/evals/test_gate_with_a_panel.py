"""The gate where a panel grades further queries, or would."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from gate_rows import gate_rows, scored

from serm.core.settings_loop import GateSettings
from serm.evals.gate import decide
from serm.evals.judged_gate import JudgedChanges, JudgedGate, TooFew, powered_change, query_changes
from serm.relevance_model.base import Scores

SETTINGS = GateSettings()


def judged_gate(frame: pd.DataFrame, before: Scores, after: Scores, further: int) -> JudgedGate:
    """A panel that grades as people do: of the gate's queries, and of more of window 1."""
    changes = query_changes(frame, before.expected, after.expected, 4)
    more = changes.sample(further, replace=True, random_state=0)
    more = more.assign(window=1, query_id=[f"more-{number}" for number in range(further)])
    newest = changes[changes["window"] == 1]
    return JudgedGate(JudgedChanges(changes, more), JudgedChanges(newest, more), pairs=1_000)


def test_a_panels_grades_narrow_the_interval_and_the_decision_shows_both() -> None:
    frame = gate_rows(300)
    champion, challenger = scored(frame, 4.0), scored(frame, 3.0)
    judged = judged_gate(frame, champion, challenger, further=2_000)
    plain, found = (
        decide(frame, champion, challenger, settings=SETTINGS, newest_window=1, looks=1, seed=0, judged=item)
        for item in (None, judged)
    )
    assert plain.judged is None
    assert found.judged is not None
    assert found.judged.human == plain.change
    assert found.change.high - found.change.low < 0.9 * (plain.change.high - plain.change.low)
    assert found.detectable < plain.detectable
    assert found.judged.worth > 1.2
    assert (found.judged.queries, found.judged.pairs) == (2_000, 1_000)
    assert any("human grades alone" in reason for reason in found.reasons)


@pytest.mark.parametrize(("queries", "why"), [(45, "people have graded 15, too few"), (150, "weight is 0")])
def test_with_few_human_grades_or_a_panel_that_is_wrong_the_gate_is_as_without_one(
    queries: int, why: str
) -> None:
    frame = gate_rows(queries)
    champion, challenger = scored(frame, 4.0), scored(frame, 3.0)
    judged = judged_gate(frame, champion, challenger, further=500)
    wrong = JudgedGate(
        *(
            JudgedChanges(side.gate.assign(change=-side.gate["change"]), side.further)
            for side in (judged.every, judged.newest)
        )
    )
    plain, found = (
        decide(frame, champion, challenger, settings=SETTINGS, newest_window=1, looks=1, seed=0, judged=item)
        for item in (None, wrong)
    )
    assert (found.change, found.newest, found.promoted) == (plain.change, plain.newest, plain.promoted)
    assert any(why in reason for reason in found.reasons)


def test_a_panel_that_was_not_asked_is_told_of_and_changes_nothing() -> None:
    frame = gate_rows(45)
    champion, challenger = scored(frame, 4.0), scored(frame, 3.0)
    plain, found = (
        decide(frame, champion, challenger, settings=SETTINGS, newest_window=1, looks=1, seed=0, judged=item)
        for item in (None, TooFew(15))
    )
    assert (found.change, found.newest, found.promoted) == (plain.change, plain.newest, plain.promoted)
    assert found.judged is None
    assert any("people have graded 15, and its grades count from 40 on" in reason for reason in found.reasons)


def test_one_text_under_several_ids_is_one_query_of_the_panels_too() -> None:
    """A log with an id for each session repeats texts: what they say is said once."""
    rng = np.random.default_rng(1)
    people = pd.DataFrame({"query_id": [f"q{number}" for number in range(40)], "window": 0})
    people = people.assign(text=people["query_id"], change=rng.normal(0, 0.1, 40))
    panel = people.assign(change=people["change"] + rng.normal(0, 0.05, 40))
    names = [f"m{number}" for number in range(60)]
    more = pd.DataFrame({"query_id": names, "text": names, "window": 0, "change": rng.normal(0, 0.1, 60)})
    repeated = pd.concat([more.assign(query_id=more["query_id"] + f"-{number}") for number in range(10)])
    once, often = (powered_change(people, JudgedChanges(panel, item), 0.9, 10) for item in (more, repeated))
    assert often.weight == pytest.approx(once.weight)
    assert often.weight > 0
    assert often.interval.low == pytest.approx(once.interval.low)
