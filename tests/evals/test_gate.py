from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from gate_rows import gate_rows, scored

from serm.core.settings_loop import GateSettings
from serm.evals.gate import decide
from serm.relevance_model.base import Scores, expected_grade

SETTINGS = GateSettings()


def test_a_clearly_better_challenger_is_promoted() -> None:
    frame = gate_rows(90)
    found = decide(
        frame, scored(frame, 6), scored(frame, 1), settings=SETTINGS, newest_window=1, looks=3, seed=0
    )
    assert found.promoted
    assert found.change.low > 0
    assert (found.change.n, found.newest.n, found.looks) == (90, 30, 3)
    assert "look 3 at the gate" in found.reasons
    assert "in-sample: the challenger's" in found.note


def test_a_clearly_worse_challenger_is_rolled_back_and_both_halves_of_the_rule_say_why() -> None:
    frame = gate_rows(90)
    found = decide(
        frame, scored(frame, 1), scored(frame, 6), settings=SETTINGS, newest_window=1, looks=1, seed=0
    )
    assert not found.promoted
    assert "not above -1.00" in found.reasons[0]
    assert "not above 0" in found.reasons[1]


def test_a_challenger_that_is_better_in_all_but_the_newest_window_is_rolled_back() -> None:
    frame = gate_rows(300)
    newest = (frame["window"] == 1).to_numpy()
    challenger = scored(frame, np.where(newest, 4.5, 0.5))
    found = decide(frame, scored(frame, 4.0), challenger, settings=SETTINGS, newest_window=1, looks=1, seed=0)
    assert found.change.low > 0
    assert found.newest.mean < 0
    assert not found.promoted


def test_a_query_that_comes_again_is_measured_on_the_newest_windows_own_rows() -> None:
    old, new = gate_rows(90).assign(window=0), gate_rows(90, seed=1).assign(window=1)
    new["doc_id"] = "new-" + new["doc_id"]
    frame = pd.concat([old, new], ignore_index=True)
    noise = np.where(frame["window"] == 1, 6.0, 0.1)  # better on the old rows, worse on the new ones
    champion, challenger = scored(frame, 3.0, seed=1), scored(frame, noise, seed=2)
    found = decide(frame, champion, challenger, settings=SETTINGS, newest_window=1, looks=1, seed=0)
    rows = (frame["window"] == 1).to_numpy()
    alone = decide(
        frame[rows].reset_index(drop=True),
        *(Scores(given.probabilities[rows], given.expected[rows]) for given in (champion, challenger)),
        settings=SETTINGS,
        newest_window=1,
        looks=1,
        seed=0,
    )
    assert found.change.mean > 0 > found.newest.mean
    assert not found.promoted
    assert found.newest == alone.newest == dict(found.slices)["window=1"]
    assert found.newest.n == 90


def test_a_gain_on_the_newest_window_does_not_pay_for_a_loss_beyond_the_margin() -> None:
    frame = gate_rows(300)
    newest = (frame["window"] == 1).to_numpy()
    challenger = scored(frame, np.where(newest, 0.5, 6.0))
    found = decide(frame, scored(frame, 2.0), challenger, settings=SETTINGS, newest_window=1, looks=1, seed=0)
    assert found.newest.mean > 0
    assert found.change.low < -SETTINGS.margin
    assert not found.promoted


def test_a_small_loss_within_the_margin_elsewhere_is_allowed() -> None:
    frame = gate_rows(600)
    champion = scored(frame, 3.0)
    newest = (frame["window"] == 1).to_numpy()
    better = scored(frame, np.where(newest, 2.5, 3.0))
    found = decide(frame, champion, better, settings=SETTINGS, newest_window=1, looks=1, seed=0)
    assert found.promoted


def test_the_champion_itself_is_rolled_back_because_nothing_improved() -> None:
    frame = gate_rows(90)
    same = scored(frame, 3)
    found = decide(frame, same, same, settings=SETTINGS, newest_window=1, looks=1, seed=0)
    assert not found.promoted
    assert "the challenger ranks every gate query as the champion does" in found.reasons
    assert not found.underpowered


def test_five_queries_are_underpowered_and_it_says_how_many_grades_are_missing() -> None:
    frame = gate_rows(5)
    found = decide(
        frame, scored(frame, 3), scored(frame, 2), settings=SETTINGS, newest_window=1, looks=1, seed=0
    )
    assert found.underpowered
    assert found.detectable > SETTINGS.margin
    assert found.queries_needed > 100
    assert found.grades_needed == found.queries_needed * 12
    assert any(f"{found.queries_needed} more gate queries" in reason for reason in found.reasons)


def test_five_queries_on_which_nothing_moved_are_underpowered_too() -> None:
    frame = gate_rows(5)
    same = scored(frame, 3)
    assert decide(frame, same, same, settings=SETTINGS, newest_window=1, looks=1, seed=0).underpowered


@pytest.mark.parametrize("queries", [0, 1])
def test_without_gate_queries_nothing_is_promoted(queries: int) -> None:
    frame = gate_rows(3).head(12 * queries)
    found = decide(
        frame, scored(frame, 6), scored(frame, 0.1), settings=SETTINGS, newest_window=1, looks=1, seed=0
    )
    assert not found.promoted
    assert found.underpowered
    assert math.isinf(found.detectable)


def test_queries_with_one_grade_count_for_nothing() -> None:
    frame = gate_rows(60)
    more = frame.assign(query_id="x" + frame["query_id"], doc_id="x" + frame["doc_id"], grade=0)
    both = pd.concat([frame, more], ignore_index=True)
    found = decide(
        both, scored(both, 4), scored(both, 1), settings=SETTINGS, newest_window=1, looks=1, seed=0
    )
    assert found.change.n == 60


@pytest.mark.parametrize(("before", "after", "promoted"), [(6.0, 1.0, True), (1.0, 6.0, False)])
def test_a_newest_window_without_gate_queries_leaves_it_to_the_mean_over_all_and_says_so(
    before: float, after: float, promoted: bool
) -> None:
    frame = gate_rows(90)
    found = decide(
        frame,
        scored(frame, before),
        scored(frame, after),
        settings=SETTINGS,
        newest_window=7,
        looks=1,
        seed=0,
    )
    assert found.promoted is promoted
    assert found.newest.n == 0
    assert "the newest window has no gate query" in found.reasons[1]


def test_with_the_gate_off_even_a_worse_challenger_is_promoted_and_the_reason_says_so() -> None:
    frame = gate_rows(90)
    off = GateSettings(enabled=False)
    found = decide(frame, scored(frame, 1), scored(frame, 6), settings=off, newest_window=1, looks=1, seed=0)
    assert found.promoted
    assert "gate.enabled: false" in found.reasons[0]


def test_languages_and_windows_are_shown_and_decide_nothing_unless_asked_to() -> None:
    frame = gate_rows(400)
    german = (frame["language"] == "de").to_numpy()
    champion, challenger = scored(frame, 3.0), scored(frame, np.where(german, 4.5, 0.3))
    shown = decide(frame, champion, challenger, settings=SETTINGS, newest_window=1, looks=1, seed=0)
    assert shown.promoted
    assert {name for name, _ in shown.slices} == {"language=de", "language=en", "window=seed", "window=1"}
    assert any(
        reason.startswith("language=de fell") and "decides nothing" in reason for reason in shown.reasons
    )
    veto = GateSettings(slice_veto=True)
    stopped = decide(frame, champion, challenger, settings=veto, newest_window=1, looks=1, seed=0)
    assert not stopped.promoted
    assert any(reason.startswith("language=de fell") and "vetoes" in reason for reason in stopped.reasons)


def test_a_slice_of_fewer_than_the_minimum_of_queries_never_vetoes() -> None:
    frame = gate_rows(400)
    german = (frame["language"] == "de").to_numpy()
    champion, challenger = scored(frame, 3.0), scored(frame, np.where(german, 4.5, 0.3))
    small = GateSettings(slice_veto=True, min_slice=201)
    assert decide(frame, champion, challenger, settings=small, newest_window=1, looks=1, seed=0).promoted


def test_the_evidence_holds_the_grade_measures_of_both_and_the_commonest_grade() -> None:
    frame = gate_rows(60)
    found = decide(
        frame, scored(frame, 6), scored(frame, 1), settings=SETTINGS, newest_window=1, looks=1, seed=0
    )
    champion, challenger = dict(found.champion), dict(found.challenger)
    for name in ("balanced_accuracy", "qwk"):
        assert challenger[name] > champion[name]
    assert challenger["brier"] < champion["brier"]
    assert challenger["ndcg@4"] - champion["ndcg@4"] == pytest.approx(found.change.mean)
    assert champion["commonest_balanced_accuracy"] == 0.25


def test_the_decision_does_not_hang_on_anything_but_grades_and_scores() -> None:
    frame = gate_rows(60)
    bare = frame[["query_id", "doc_id", "grade", "window"]]
    before, after = scored(frame, 4), scored(frame, 3)
    rich, poor = (
        decide(rows, before, after, settings=SETTINGS, newest_window=1, looks=1, seed=0)
        for rows in (frame, bare)
    )
    assert rich.change == poor.change
    assert rich.promoted == poor.promoted


def test_one_text_under_many_ids_is_one_query() -> None:
    """Twelve texts, each logged under ten ids: an interval over 120 queries would be of evidence that is not
    there."""
    frame = gate_rows(12, newest=1)
    frame["query"] = "text " + frame["query_id"]
    champion, challenger = scored(frame, 4.0), scored(frame, 3.5)
    once = decide(frame, champion, challenger, settings=SETTINGS, newest_window=1, looks=1, seed=0)
    many = pd.concat([frame.assign(query_id=frame["query_id"] + f"-{copy}") for copy in range(10)])
    many = many.reset_index(drop=True)
    scores = [
        Scores(np.tile(model.probabilities, (10, 1)), np.tile(model.expected, 10))
        for model in (champion, challenger)
    ]
    again = decide(many, *scores, settings=SETTINGS, newest_window=1, looks=1, seed=0)
    assert (again.change.n, again.newest.n) == (once.change.n, once.newest.n) == (12, 4)
    assert again.change.low == pytest.approx(once.change.low)
    assert again.queries_needed == once.queries_needed > 0
    assert dict(again.slices)["language=de"].n == 6


def test_two_queries_that_changed_alike_are_too_few_to_tell_how_others_would() -> None:
    frame = gate_rows(2, pairs=4, newest=-1)
    found = decide(
        frame.assign(grade=np.tile([0, 3, 0, 3], 2)),
        *(
            Scores(values, expected_grade(values))
            for values in (
                np.eye(4, dtype=np.float32)[np.tile([3, 0, 3, 0], 2)],
                np.eye(4, dtype=np.float32)[np.tile([0, 3, 0, 3], 2)],
            )
        ),
        settings=SETTINGS,
        newest_window=1,
        looks=1,
        seed=0,
    )
    assert found.change.mean > 0.1
    assert found.underpowered
    assert any("changed alike" in reason for reason in found.reasons)
