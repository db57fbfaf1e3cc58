from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
from rich.console import Console

from serm.core.records import Interval
from serm.evals.evaluate import compare, evaluate
from serm.evals.tables import Result, RoundRow, difference, evaluations, markdown, points, rounds, terminal
from serm.relevance_model.base import Scores, expected_grade

ROWS = [
    RoundRow(0, "", 0, 0, None, Result(0.5, 0.7), Result(0.4, 0.6), None),
    RoundRow(
        1,
        "2020",
        600,
        512,
        0.913,
        Result(0.51, 0.7, Interval(0.01, -0.01, 0.03, 50)),
        Result(0.44, 0.62, Interval(0.04, 0.01, 0.07, 50)),
        True,
        "the lower bound is above | the margin",
    ),
    RoundRow(2, "2021", 1_600, 1_400, None, Result(0.48, 0.69), None, False, "not above 0"),
]


def printed(table: object) -> str:
    console = Console(file=io.StringIO(), width=300)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_round_table_says_what_was_mined_what_it_did_and_what_the_gate_said() -> None:
    text = markdown(rounds(ROWS))
    lines = text.splitlines()
    assert lines[0].startswith("| round | window | mined | labelled | label accuracy | NDCG@4 static |")
    assert "| 600 | 512 | 91.3 |" in lines[3]
    assert "51.0 (+1.0 [-1.0, +3.0] within noise)" in lines[3]
    assert "44.0 (+4.0 [+1.0, +7.0] better)" in lines[3]
    assert "| promoted |" in lines[3]
    assert "above \\| the margin" in lines[3]
    assert "| rolled back | not above 0 |" in lines[4]
    assert "1,600" in lines[4]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_the_terminal_shows_the_same_cells() -> None:
    shown = printed(terminal(rounds(ROWS), "verticals"))
    for cell in ("verticals", "91.3", "+1.0 [-1.0, +3.0] within noise", "rolled back"):
        assert cell in shown


def test_what_was_not_measured_is_a_dash() -> None:
    assert points(None) == points(math.nan) == "–"
    assert difference(Interval(math.nan, math.nan, math.nan)) == "–"


def test_a_fall_of_an_error_is_better() -> None:
    assert difference(Interval(-0.02, -0.03, -0.01)).endswith("worse")
    assert difference(Interval(-0.02, -0.03, -0.01), lower_is_better=True).endswith("better")
    assert "too few queries" in difference(Interval(0.5, math.nan, math.nan, 1))


def test_models_stand_beside_always_the_commonest_grade() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"query_id": np.repeat(["a", "b", "c"], 4), "doc_id": map(str, range(12)), "grade": [0, 0, 0, 3] * 3}
    )
    found = {}
    for name in ("frozen", "champion"):
        given = rng.dirichlet(np.ones(4), 12).astype(np.float32)
        found[name] = evaluate(frame, Scores(given, expected_grade(given)))
    changes = {"champion": compare(found["frozen"], found["champion"], level=0.95, resamples=200, seed=0)}
    text = markdown(evaluations(found, changes))
    assert "| model | NDCG@1 | NDCG@4 | NDCG@10 | accuracy | balanced accuracy | QWK | Brier | ECE |" in text
    assert "| always the commonest grade (0) | – | – | – | 75.0 | 50.0 | 0.0 | 50.0 | 25.0 |" in text
    assert text.count("\n") == 5
