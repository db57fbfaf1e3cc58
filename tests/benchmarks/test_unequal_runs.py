"""Runs that ended early, seeds that arms do not share, and data of which there is next to nothing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_results import made_up

from serm.benchmarks import arms
from serm.benchmarks.arm_tables import before_use, by_round, by_slice, last_round
from serm.benchmarks.arms import Results
from serm.benchmarks.charts import Curve, curves, forest
from serm.benchmarks.costs import costs, per_thousand
from serm.benchmarks.drops import gap_by_window, gap_closed, relative_drops
from serm.benchmarks.figures import bounded
from serm.benchmarks.html_report import _curves, _forest
from serm.benchmarks.measure_table import other_measures
from serm.benchmarks.protocol import Arm
from serm.benchmarks.report_tables import ReportTables
from serm.core.records import Interval
from serm.core.settings_data import EVOLVING
from serm.evals.tables import NOTHING, Cells


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn does not matter here."""
    monkeypatch.setattr(arms, "RESAMPLES", 50)


TABLES: tuple[Callable[[Results], Cells], ...] = (
    last_round,
    before_use,
    by_round,
    lambda results: by_slice(results, "language"),
    lambda results: by_slice(results, "stratum"),
    relative_drops,
    gap_closed,
    gap_by_window,
    per_thousand,
    costs,
)


def with_table(results: Results, table: pd.DataFrame) -> Results:
    """The same protocol and facts over other rows."""
    found = Results(results.protocol, table.reset_index(drop=True), results.runs)
    found.__dict__["facts"] = results.facts
    return found


def everything(results: Results) -> list[Cells]:
    """Whatever a report draws: it has to be there, whatever there is to draw from."""
    charts = [draw(results, name) for draw in (_curves, _forest) for name in (*results.sets, EVOLVING)]
    assert all("nan" not in chart for chart in charts)
    tables = [make(results) for make in TABLES]
    assert all("nan" not in cell for table in tables for row in table.rows for cell in row)
    return tables


def rows_of(cells: Cells, *lead: str) -> list[tuple[str, ...]]:
    return [row for row in cells.rows if row[: len(lead)] == lead]


@pytest.mark.parametrize("marketplace", [False, True])
def test_the_last_model_of_a_run_that_ended_early_stays_in_use(tmp_path: Path, marketplace: bool) -> None:
    whole = made_up(tmp_path, marketplace=marketplace)
    table = whole.table
    results = with_table(whole, table[~((table["arm"] == "random") & (table["round"] > 1))])
    everything(results)
    assert results.gain("random", "last").mean == pytest.approx(0.05)  # what it had after round 1
    assert results.gain("ours", "last", over="random").mean == pytest.approx(0.15)
    said = dict(results.notes)
    assert said["random"].startswith("with seed 1, 2, 3 it ended after round 1 of 2")
    assert dict(whole.notes) == {}


def test_windows_that_a_run_did_not_meet_count_for_no_arm(tmp_path: Path) -> None:
    whole = made_up(tmp_path, marketplace=False)
    table = whole.table
    results = with_table(whole, table[~((table["arm"] == "random") & (table["round"] > 0))])
    assert whole.evolving_rounds == (0, 1)
    assert results.evolving_rounds == (0,)
    assert results.gain("ours", EVOLVING).mean == pytest.approx(0.0)  # frozen meets the first window
    assert "after round 0" in dict(results.notes)[EVOLVING]
    drops = {row[0]: row[1:] for row in relative_drops(results).rows}
    assert drops["random"][1] == NOTHING
    assert drops["ours"][1] != NOTHING


@pytest.mark.parametrize("marketplace", [False, True])
def test_arms_without_a_common_seed_are_compared_on_those_they_share(
    tmp_path: Path, marketplace: bool
) -> None:
    whole = made_up(tmp_path, marketplace=marketplace, arms=("ours", "random", "third"))
    table = whole.table
    kept = {"ours": [1], "random": [1, 2], "third": [2]}
    there = [seed in kept[arm] for arm, seed in zip(table["arm"], table["seed"], strict=True)]
    results = with_table(whole, table[there])
    everything(results)
    assert results.seeds == (1, 2)
    assert results.gain("ours", "last", over="random").mean == pytest.approx(0.1)
    assert results.gain("third", "last").mean == pytest.approx(0.2)
    assert rows_of(last_round(results), "third", "last")[0][-1] == NOTHING  # no seed in common with ours
    said = dict(results.notes)
    assert said["third"] == "seeds 2; compared with random on 2."
    assert said["random"] == "seeds 1, 2; compared with random on 1, 2."


def test_costs_are_those_of_the_runs_that_are_compared(tmp_path: Path) -> None:
    whole = made_up(tmp_path, marketplace=False)
    for run in whole.runs:
        for file in (run.folder / "workspace" / "rounds").glob("*/round.json") if run.seed == 2 else ():
            report = json.loads(file.read_text(encoding="utf-8"))
            report["counts"]["mined"] = 5_000
            file.write_text(json.dumps(report), encoding="utf-8")
    table = whole.table
    results = with_table(whole, table[(table["arm"] == "ours") | (table["seed"] != 2)])
    assert results.seeds == (1, 3)
    assert [run.seed for run in results.own] == [1, 3]
    assert dict(results.notes)["seeds"].endswith("left out: 2.")
    assert rows_of(per_thousand(results), "ours")[0][1] == "100"
    assert rows_of(costs(results), "ours")[0][1] == "100"


def test_labels_without_a_human_grade_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    results = made_up(tmp_path, marketplace=False)
    assert rows_of(costs(results), "ours")[0][2:4] == ("80", "75.0%")  # of the 20 that have one


def test_what_is_not_matched_by_cost_says_so_everywhere_and_stands_last(tmp_path: Path) -> None:
    whole = made_up(tmp_path, marketplace=True)
    stated = {"random": Arm(matched=False), "ours": Arm()}
    protocol = whole.protocol.model_copy(update={"arms": stated, "baseline": "ours"})
    results = Results(protocol, whole.table, whole.runs)
    results.__dict__["facts"] = whole.facts
    for cells in everything(results):
        told = [row[0] for row in cells.rows]
        assert "random" not in told
        assert "random (not cost-matched)" in told
    names = list(dict.fromkeys(row[0] for row in last_round(results).rows))
    assert names[:4] == ["ours", "random (not cost-matched)", "untrained (no labels)", "frozen (no labels)"]
    assert "(not cost-matched)" in _forest(results, "last")
    assert "random (not cost-matched)" in _curves(results, "last")


def test_untrained_and_frozen_have_levels_and_so_has_another_base_model(tmp_path: Path) -> None:
    whole = made_up(tmp_path, marketplace=False)
    table = whole.table.copy()
    better = (table["arm"] == "random") & (table["role"] == "frozen")
    table.loc[better, "ndcg@4"] += 0.05
    cells = last_round(with_table(whole, table))
    untrained, frozen, other = (
        rows_of(cells, f"{name} (no labels)", "last")[0]
        for name in ("untrained", "frozen", "frozen of random")
    )
    assert untrained[4].startswith("-10.0 [")
    assert frozen[4] == NOTHING
    assert other[4].startswith("+5.0 [")  # better encoder, no labels
    assert not rows_of(cells, "untrained of random (no labels)")
    assert all(row[3].count("[") == 1 for row in cells.rows if row[2])  # an interval on every level
    drops = [row[0] for row in relative_drops(with_table(whole, table)).rows]
    levels = list(dict.fromkeys(row[0] for row in cells.rows))
    assert drops == levels  # the same models in both


@pytest.mark.parametrize("marketplace", [False, True])
@pytest.mark.parametrize(
    "kept",
    [
        lambda table: table["seed"] == 1,
        lambda table: table["query_id"].str.endswith("-7") | (table["query_id"] == "7"),
        lambda table: (table["seed"] == 1) & table["query_id"].str.endswith("7"),
        lambda table: table["set"] != EVOLVING,
        lambda table: table["set"] == EVOLVING,
        lambda table: table["arm"] == "random",
        lambda table: table["round"] == 0,
    ],
    ids=["one seed", "one query", "few", "no windows", "no tests", "one arm", "no round"],
)
def test_a_report_of_little_data_has_dashes(
    tmp_path: Path, marketplace: bool, kept: Callable[[pd.DataFrame], Iterable[bool]]
) -> None:
    whole = made_up(tmp_path, marketplace=marketplace)
    everything(with_table(whole, whole.table[kept(whole.table)]))


@pytest.mark.parametrize("marketplace", [False, True])
def test_sets_whose_queries_all_have_one_grade_have_dashes(tmp_path: Path, marketplace: bool) -> None:
    whole = made_up(tmp_path, marketplace=marketplace)
    table = whole.table.copy()
    table.loc[table["set"].isin(["last", EVOLVING]), "ndcg@4"] = np.nan
    results = with_table(whole, table)
    everything(results)
    assert rows_of(last_round(results), "ours", "last")[0][2:4] == ("0", NOTHING)
    results.facts["language"] = ""
    results.facts["stratum"] = ""
    assert not by_slice(with_table(results, table), "language").rows


def test_under_every_table_of_changes_stands_the_smallest_that_it_shows(tmp_path: Path) -> None:
    results = made_up(tmp_path, marketplace=True)
    for cells in everything(results)[:-1]:
        assert cells.rows[-1][0] == "smallest change seen"


def test_queries_of_one_grade_do_not_count_in_a_slice(tmp_path: Path) -> None:
    whole = made_up(tmp_path, marketplace=False)
    table = whole.table.copy()
    table.loc[(table["set"] == "last") & table["query_id"].isin(["0", "2"]), "ndcg@4"] = np.nan
    cells = by_slice(with_table(whole, table), "stratum")
    head, tail = rows_of(cells, "ours", "last")[0][2:]
    assert head.endswith("(28)")
    assert tail.endswith("(30)")


def test_runs_that_are_missing_are_named_at_the_head(tmp_path: Path) -> None:
    whole = made_up(tmp_path, marketplace=False, folds=("one", "two"), arms=("ours", "random", "third"))
    assert ReportTables(whole).missing == ""
    table = whole.table
    gone = (table["arm"] == "third") | ((table["arm"] == "random") & (table["fold"] == "two"))
    results = with_table(whole, table[~gone])
    told = ReportTables(results).notices
    assert told[0] == "9 of 18 runs are done. Not done: random (seed 1 two, 2 two, 3 two); third (all)."


def test_an_arm_that_sent_other_numbers_of_pairs_is_not_matched_by_its_word_alone(tmp_path: Path) -> None:
    results = made_up(tmp_path, marketplace=False)
    assert ReportTables(results).unmatched == ""
    for run in results.own:
        for file in (run.folder / "workspace" / "rounds").glob("*/round.json"):
            report = json.loads(file.read_text(encoding="utf-8"))
            report["counts"]["mined"] = 60
            file.write_text(json.dumps(report), encoding="utf-8")
    assert ReportTables(results).unmatched == (
        "Pairs sent to the panel, where they differ from the 120 of ours: random 100."
    )


def test_comparisons_are_counted_beside_what_chance_alone_would_call_sure(tmp_path: Path) -> None:
    tables = ReportTables(made_up(tmp_path, marketplace=False))
    shown = (tables.last_round, tables.measures, tables.before_use, tables.by_round)
    cells = [
        cell for table in (*shown, tables.languages, tables.strata) for row in table.rows for cell in row
    ]
    sure = sum(" better" in cell or " worse" in cell for cell in cells)
    count = sure + sum("within noise" in cell for cell in cells)
    assert sure > 0
    assert tables.comparisons.startswith(f"{count} comparisons, each by a 95% interval")
    assert f"about {count / 20:.0f} would" in tables.comparisons
    assert tables.comparisons.endswith(f" {sure} are.")


@pytest.mark.parametrize("marketplace", [False, True])
def test_another_base_is_compared_with_frozen_under_the_seeds_that_both_have(
    tmp_path: Path, marketplace: bool
) -> None:
    """No seed is common to all; the third arm begins with another model."""
    whole = made_up(tmp_path, marketplace=marketplace, arms=("ours", "random", "third", "fourth"))
    table = whole.table.copy()
    table.loc[(table["arm"] == "third") & (table["role"] == "frozen"), "ndcg@4"] += 0.02
    table["ndcg@1"] = table["ndcg@4"]
    kept = {"ours": [1, 2], "random": [1, 2], "third": [2], "fourth": [3]}
    there = [seed in kept[arm] for arm, seed in zip(table["arm"], table["seed"], strict=True)]
    cells = other_measures(with_table(whole, table[there]))
    (row,) = rows_of(cells, "frozen of third (no labels)", "last")
    assert row[cells.headers.index("NDCG@1 over frozen")].startswith("+2.0 ")


def test_levels_end_where_their_measure_does() -> None:
    assert bounded(Interval(0.2, -0.06, 0.47, 9)) == Interval(0.2, 0.0, 0.47, 9)
    assert bounded(Interval(0.9, 0.7, 1.2, 9)) == Interval(0.9, 0.7, 1.0, 9)
    assert bounded(Interval(-0.1, -1.3, 0.2, 9), -1.0).low == -1.0
    assert math.isnan(bounded(Interval(0.5, math.nan, math.nan, 1)).low)


def test_charts_of_many_rounds_and_long_names_keep_their_texts_apart() -> None:
    gains = [(float(place), Interval(0.01, 0.0, 0.02, 9)) for place in range(40)]
    drawn = curves([Curve("ours", gains, "ours")], [str(number) for number in range(40)], unit="points")
    named = [float(x) for x in re.findall(r'x="([\d.]+)" y="\d+" text-anchor="middle"', drawn)]
    assert 2 < len(named) < 40
    assert min(b - a for a, b in pairwise(named)) >= 24
    long = "an arm whose name is so very long that it takes as many as three lines or four"
    rows = [(long, gains[0][1]), ("short", gains[0][1])]
    lines = [float(y) for y in re.findall(r'class="name" x="\d+" y="([\d.]+)"', forest(rows, unit="points"))]
    assert len(lines) > 3
    assert min(b - a for a, b in pairwise(lines)) >= 16
