"""The other measures of a report are those of the evaluation, over the seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_results import made_up

from serm.benchmarks.arms import Model, Results
from serm.benchmarks.measure_table import COMMONEST, GRADES, _figures, other_measures
from serm.benchmarks.report_tables import ReportTables
from serm.evals.evaluate import SUMS, evaluate, summarise
from serm.evals.tables import NOTHING, points
from serm.relevance_model.base import Scores


def with_sums(results: Results) -> Results:
    """The same queries, with the tables of a model that is right on two grades of three."""
    rng = np.random.default_rng(3)
    pairs = pd.DataFrame({"query_id": results.table["query_id"].unique()}).merge(
        pd.DataFrame({"doc_id": list("abcdef")}), how="cross"
    )
    pairs["grade"] = rng.integers(0, 4, len(pairs))
    pairs.loc[pairs["query_id"].str.endswith("7"), "grade"] = 1  # of one grade
    told = np.where(rng.random(len(pairs)) < 2 / 3, pairs["grade"], rng.integers(0, 4, len(pairs)))
    found = evaluate(pairs, Scores(0.7 * np.eye(4)[told] + 0.1, np.zeros(len(pairs)))).per_query
    table = results.table.drop(columns="ndcg@4").merge(found, on="query_id")
    made = Results(results.protocol, table, results.runs)
    made.__dict__["facts"] = results.facts
    return made


@pytest.mark.parametrize("marketplace", [False, True])
def test_figures_are_those_of_the_evaluation_on_average_over_seeds(tmp_path: Path, marketplace: bool) -> None:
    results = with_sums(made_up(tmp_path, marketplace=marketplace))
    table = results.table
    rows = table[(table["arm"] == "ours") & (table["round"] == 2) & (table["set"] == "last")]
    rows = rows[rows["role"] == "champion"]
    seeds = [summarise(of_seed).measures() for _, of_seed in rows.groupby("seed")]
    wanted = [
        np.mean([of_seed[name] for of_seed in seeds])
        for name in ("ndcg@1", "ndcg@10", "accuracy", "balanced_accuracy", "qwk", "brier", "ece")
    ]
    found = _figures(results, Model("ours"), "last")
    assert [interval.mean for interval in found] == pytest.approx(wanted)
    assert all(interval.low < interval.high for interval in found)
    row = next(row for row in other_measures(results).rows if row[:2] == ("ours", "last"))
    assert row[2:4] == ("54", "6")  # queries of one grade apart
    assert row[5] == "0.0 the same"  # here every model ranks alike
    assert all("[" in cell for cell in (row[4], *row[6:]))


@pytest.mark.parametrize("marketplace", [False, True])
def test_beside_accuracy_stands_what_one_answer_for_all_pairs_would_have(
    tmp_path: Path, marketplace: bool
) -> None:
    results = with_sums(made_up(tmp_path, marketplace=marketplace))
    table = results.table
    rows = table[(table["arm"] == "ours") & (table["round"] == 2) & (table["set"] == "last")]
    rows = rows[rows["role"] == "champion"]
    seeds = [summarise(of_seed).commonest for _, of_seed in rows.groupby("seed")]
    cells = other_measures(results)
    stood = [row for row in cells.rows if row[0] == COMMONEST]
    assert [row[1] for row in stood] == list(results.sets), "one row a test"
    (row,) = (row for row in stood if row[1] == "last")
    assert row[2:4] == ("54", "6")
    assert row[4:7] == (NOTHING,) * 3, "it ranks nothing"
    wanted = {
        cells.headers.index(title): np.mean([of_seed[name] for of_seed in seeds])
        for name, title in GRADES.items()
    }
    assert {place: row[place] for place in wanted} == {place: points(mean) for place, mean in wanted.items()}
    assert row[cells.headers.index("kappa")] == "0.0"


def test_a_table_of_before_has_what_it_held(tmp_path: Path) -> None:
    results = with_sums(made_up(tmp_path, marketplace=False))
    earlier = Results(results.protocol, results.table.drop(columns=list(SUMS)), results.runs)
    row = next(row for row in other_measures(earlier).rows if row[:2] == ("ours", "last"))
    assert all("[" in cell for cell in (row[4], row[6]))
    assert row[7:] == (NOTHING,) * 5
    assert COMMONEST not in {row[0] for row in other_measures(earlier).rows}


@pytest.mark.parametrize("marketplace", [False, True])
def test_the_papers_measure_has_its_gain_over_an_arms_own_frozen_model(
    tmp_path: Path, marketplace: bool
) -> None:
    results = made_up(tmp_path, marketplace=marketplace)
    results.table["ndcg@1"] = results.table["ndcg@4"] / 2
    cells = other_measures(results)
    found = {row[:2]: row[cells.headers.index("NDCG@1 over frozen")] for row in cells.rows}
    assert found["ours", "last"] == "+10.0 [+10.0, +10.0] better"  # half of what NDCG@4 gains
    assert found["random", "last"] == "+5.0 [+5.0, +5.0] better"
    assert found["frozen (no labels)", "last"] == NOTHING


@pytest.mark.parametrize("marketplace", [False, True])
def test_a_test_that_one_arm_alone_has_leaves_dashes_in_the_others_rows(
    tmp_path: Path, marketplace: bool
) -> None:
    """The third arm begins with another model, and has one test more."""
    whole = made_up(tmp_path, marketplace=marketplace, arms=("ours", "random", "third"))
    table = whole.table.copy()
    table["ndcg@1"] = table["ndcg@4"]
    of_third = (table["arm"] == "third") & (table["role"] == "frozen")
    table.loc[of_third, ["ndcg@1", "ndcg@4"]] += 0.02
    more = table[(table["arm"] == "third") & (table["set"] == "last")].assign(set="own")
    results = Results(whole.protocol, pd.concat([table, more], ignore_index=True), whole.runs)
    results.__dict__["facts"] = whole.facts
    cells = other_measures(results)
    found = {row[:2]: row[2:] for row in cells.rows}
    assert found["ours", "own"][:4] == ("0", "0", NOTHING, NOTHING)
    assert found["third", "own"][0] == "60"
    assert found["third", "own"][3].startswith("+18.0 [")
    level, over = found["frozen of third (no labels)", "own"][2:4]
    assert "[" in level
    assert over == NOTHING, "of the frozen model of ours there is nothing to compare it with"
    assert found["frozen of third (no labels)", "last"][3].startswith("+2.0 ")
    assert ReportTables(results).comparisons
