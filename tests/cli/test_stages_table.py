"""The table of stages: what each kept of the sample, how much of it is right, and what it took."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from serm.cli.stages_table import stages_table, worth_showing
from serm.graphs.stages import label_accuracy, stages

KEYS = [("q", str(number)) for number in range(10)]
OUTCOMES = ["unanimous"] * 4 + ["debate"] * 2 + ["human"] + ["dropped"] * 2 + ["failed"]
GRADES = [0, 1, 2, 3, 0, 1, 2, None, None, None]
TOOK = {"calls": 20, "tokens": 12_000, "cost": 0.25, "requests": 21}


def labels() -> pd.DataFrame:
    frame = pd.DataFrame(KEYS, columns=["query_id", "doc_id"])
    frame = frame.assign(grade=pd.array(GRADES, dtype="Int8"), outcome=OUTCOMES)
    return frame.assign(calls=3, tokens=100, cost=0.5)


def sealed() -> pd.DataFrame:
    """Human grades of the first six: one unanimous label and one of the debate are wrong."""
    return pd.DataFrame(KEYS[:6], columns=["query_id", "doc_id"]).assign(grade=[0, 1, 2, 0, 0, 2])


ANNOTATION = {
    "rule": "unanimous",
    "judging": TOOK,
    "calibration": {"pairs": 300, "calls": 900, "tokens": 1_000_000, "cost": 1.5},
    "debate": {"pairs": 6, "kept": 2, "calls": 12, "tokens": 9_000, "cost": 0.1},
}
HUMAN = {"asked": 3, "answered": 1, "seconds": {"total": 75.5}}


def report(**more: Any) -> dict[str, Any]:
    return {"round": 1, "stages": stages(labels(), ANNOTATION, HUMAN, sealed()), **more}


def test_each_stage_has_its_pairs_its_share_its_accuracy_and_its_own_cost() -> None:
    calibration, panel, debate, human = report()["stages"]
    assert calibration == {
        "stage": "calibration",
        "pairs": 300,
        "calls": 900,
        "tokens": 1_000_000,
        "cost": 1.5,
    }
    assert (panel["pairs"], panel["kept"], panel["share"], panel["right"]) == (10, 4, 0.4, 0.75)
    assert (panel["rule"], panel["calls"], panel["tokens"], panel["cost"]) == ("unanimous", 20, 12_000, 0.25)
    assert (debate["pairs"], debate["kept"], debate["right"], debate["cost"]) == (6, 2, 0.5, 0.1)
    assert (human["pairs"], human["kept"], human["seconds"]) == (3, 1, 75.5)
    assert (human["graded"], human["right"]) == (0, None)  # nobody has sealed a grade of that pair


def test_a_stage_that_was_not_gone_through_is_left_out_and_labels_tell_what_they_took() -> None:
    (panel,) = stages(labels(), {}, {}, sealed())
    assert (panel["calls"], panel["tokens"], panel["cost"]) == (30, 1_000, 5.0)


def test_accuracy_is_told_by_outcome() -> None:
    found = label_accuracy(labels(), sealed())
    assert found is not None
    assert found["pairs"] == 6
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["by_outcome"] == {
        "debate": {"pairs": 2, "accuracy": 0.5},
        "unanimous": {"pairs": 4, "accuracy": 0.75},
    }
    assert label_accuracy(labels(), sealed().iloc[:0]) is None


def test_the_table_fits_into_80_columns_and_says_all_of_it() -> None:
    console = Console(width=80)
    table = stages_table([{"round": 0}, report()])
    with console.capture() as captured:
        console.print(table)
    lines = [line.split() for line in captured.get().splitlines()]
    assert ["1", "calibration", "300", "900", "1,000k", "1.50"] in lines
    assert ["unanimous", "10", "4", "40.0%", "75.0%", "20", "12k", "0.25"] in lines
    assert ["debate", "6", "2", "20.0%", "50.0%", "12", "9,000", "0.10"] in lines
    assert ["human", "3", "1", "10.0%", "-", "1.3", "min"] in lines
    assert "…" not in captured.get()


def test_a_vote_of_judges_that_cost_nothing_needs_no_table_at_the_end_of_a_run() -> None:
    free = {"calls": 30, "tokens": 0, "cost": 0.0}
    assert not worth_showing([{"round": 1, "stages": stages(labels(), {"judging": free}, {}, sealed())}])
    assert worth_showing([report()])
    assert stages_table([{"round": 0}]) is None
