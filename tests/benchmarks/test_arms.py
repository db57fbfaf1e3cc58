"""Levels, gains and slices of arms, over tables that are made up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_up_results import ARMS, QUERIES, made_up

from serm.benchmarks.arm_tables import ablations, before_use, by_slice, last_round
from serm.benchmarks.arms import Results
from serm.benchmarks.ceiling import of_true_grades
from serm.benchmarks.costs import per_thousand
from serm.benchmarks.drops import gap_by_window, gap_closed, gap_to_own_test, relative_drops
from serm.benchmarks.protocol import Arm
from serm.benchmarks.runs import Run
from serm.benchmarks.timeline import drift_timeline
from serm.core.settings_data import EVOLVING
from serm.evals.tables import NOTHING
from serm.storage.trace import SpanKind, Tracer, span


@pytest.mark.parametrize("marketplace", [False, True])
def test_gains_are_those_that_were_made_whether_or_not_seeds_share_queries(
    tmp_path: Path, marketplace: bool
) -> None:
    results = made_up(tmp_path, marketplace=marketplace)
    assert results.seeds == (1, 2, 3)
    gain = results.gain("ours", "last")
    assert gain.mean == pytest.approx(0.2)
    assert gain.low == pytest.approx(0.2)  # every query gains the same: nothing is left to chance
    assert results.gain("ours", "last", over="random").mean == pytest.approx(0.1)
    level = results.interval(results.of("ours", "last"))
    assert level.low < level.mean < level.high
    assert results.queries(results.of("ours", "last")) == QUERIES
    table = last_round(results)
    assert ("ours", "last", "60") in {row[:3] for row in table.rows}
    random = next(row for row in table.rows if row[:2] == ("random", "last"))
    assert random[-1] == "+10.0 [+10.0, +10.0] better"  # ours over it
    assert {row[1] for row in table.rows} == {"static", "window-1", "last"}
    assert {row[1] for row in before_use(results).rows} == {EVOLVING}


def test_ablations_have_a_table_of_their_own_under_ours(tmp_path: Path) -> None:
    whole = made_up(tmp_path, marketplace=False, arms=("ours", "random", "third"))
    assert not ablations(whole).rows
    stated = whole.protocol.arms | {
        "third": whole.protocol.arms["third"].model_copy(update={"ablation": True})
    }
    protocol = whole.protocol.model_copy(update={"arms": stated})
    results = Results(protocol, whole.table, whole.runs)
    apart = ablations(results)
    assert list(dict.fromkeys(row[0] for row in apart.rows)) == ["ours", "third", "smallest change seen"]
    assert list(dict.fromkeys(row[1] for row in apart.rows)) == ["static", "window-1", "last", EVOLVING]
    assert {row[0] for row in last_round(results).rows} == {row[0] for row in last_round(whole).rows} - {
        "third"
    }
    assert "third" not in {row[0] for row in before_use(results).rows}
    kept = whole.table[whole.table["arm"] == "third"]
    alone = Results(protocol, kept, [run for run in whole.runs if run.arm == "third"])
    assert not ablations(alone).rows  # the first arm of a table is what others are compared with
    assert "third" in {row[0] for row in last_round(alone).rows}


def test_without_a_run_of_the_baseline_the_first_arm_stands_in(tmp_path: Path) -> None:
    whole = made_up(tmp_path, marketplace=False)
    assert whole.baseline == "random"
    kept = whole.table[whole.table["arm"] == "ours"]
    alone = Results(whole.protocol, kept, [run for run in whole.runs if run.arm == "ours"])
    assert alone.baseline == "ours"
    assert [row[5:] for row in last_round(alone).rows if row[0] == "ours"] == [(NOTHING, NOTHING)] * 3


@pytest.mark.parametrize("marketplace", [False, True])
def test_slices_hold_their_queries(tmp_path: Path, marketplace: bool) -> None:
    results = made_up(tmp_path, marketplace=marketplace)
    masks = results.slices("last", "language")
    assert {name: len(mask[1]) for name, mask in masks.items()} == {"de": 20, "en": 40}
    assert results.gain("ours", "last", only=masks["de"]).mean == pytest.approx(0.2)
    table = by_slice(results, "stratum")
    assert table.headers == ("arm", "set", "head", "tail")
    assert table.rows[2] == ("ours", "last", *["+20.0 [+20.0, +20.0] better (30)"] * 2)


def test_the_gap_that_drift_opens_is_closed_by_what_was_gained(tmp_path: Path) -> None:
    rows = {row[0]: row[1:] for row in gap_closed(made_up(tmp_path, marketplace=True)).rows}
    assert rows["gap in points"][0].startswith("30.")
    shares = {arm: int(rows[arm][0].split("%")[0]) for arm in ARMS}
    assert shares["ours"] == pytest.approx(67, abs=4)
    assert shares["random"] == pytest.approx(33, abs=3)
    assert len(rows["ours"]) == 5  # all, two languages, two strata
    assert not gap_closed(made_up(tmp_path / "other", marketplace=False)).rows


def test_each_window_has_its_own_gap_and_what_its_own_round_closed_of_it(tmp_path: Path) -> None:
    table = gap_by_window(made_up(tmp_path, marketplace=True))
    assert table.headers == ("arm", "queries", "window-1", "window-2")
    rows = {row[:2]: row[2:] for row in table.rows}
    first, last = (int(cell.split("%")[0]) for cell in rows["ours", "all"])
    assert first == pytest.approx(25, abs=3)  # after round 1 half of the gain, of a gap of 40
    assert last == pytest.approx(67, abs=4)
    assert ("random", "all") in rows
    assert ("ours", "tail") in rows
    assert ("random", "tail") not in rows


@pytest.mark.parametrize(
    ("tests", "more"), [((), 0), (("static",), -12), (("static", "window-1", "last"), 0)]
)
def test_what_lifts_both_tests_alike_closes_nothing_of_an_arms_own_gap(
    tmp_path: Path, tests: tuple[str, ...], more: int
) -> None:
    results = made_up(tmp_path, marketplace=True)
    table = results.table
    learnt = (table["arm"] == "ours") & (table["role"] == "champion") & table["round"].gt(0)
    table.loc[learnt & table["set"].isin(tests), "ndcg@4"] += 0.05
    cells = gap_to_own_test(results)
    assert cells.headers == ("arm", "window-1", "window-2")
    first, last = next(row[1:] for row in cells.rows if row[0] == "ours")
    assert int(first.split("%")[0]) == pytest.approx(25 + more, abs=3)  # of a gap of 40
    assert int(last.split("%")[0]) == pytest.approx(67 + more * 4 / 3, abs=4)  # of 30


def test_a_relative_drop_is_what_is_lost_as_a_share_of_what_there_was(tmp_path: Path) -> None:
    table = relative_drops(made_up(tmp_path, marketplace=False))
    assert table.headers == ("model", "window-1", "window-2")
    names = ("frozen (no labels)", "ours")
    frozen, ours = (next(row for row in table.rows if row[0] == who) for who in names)
    assert int(frozen[1].split("%")[0]) == pytest.approx(30, abs=4)
    assert int(ours[2].split("%")[0]) == pytest.approx(10, abs=4)  # after a round, half of the gain


def test_each_arm_has_a_share_of_what_true_grades_give(tmp_path: Path) -> None:
    whole = made_up(tmp_path, marketplace=False, arms=("ours", "random", "third"))
    assert not of_true_grades(whole).rows  # no arm has such judges
    truth = [{"backend": "simulated:accuracy=1,shared=0", "name": "truth"}]
    stated = whole.protocol.arms | {"third": Arm(change={"judges": truth})}
    protocol = whole.protocol.model_copy(update={"arms": stated})
    cells = of_true_grades(Results(protocol, whole.table, whole.runs))
    rows = {row[0]: dict(zip(cells.headers[1:], row[1:], strict=True)) for row in cells.rows}
    assert list(rows) == ["third", "ours", "random", "smallest change seen"]
    assert rows["third"]["last"] == "+20.0 [+20.0, +20.0] better"
    assert rows["ours"]["last"] == "100% [100%, 100%]"
    assert rows["random"]["last"] == "50% [50%, 50%]"
    assert rows["ours"]["static"] == NOTHING  # true grades give nothing there


def test_a_slice_without_a_measured_query_has_no_share(tmp_path: Path) -> None:
    results = made_up(tmp_path, marketplace=True)
    results.__dict__["facts"] = facts = results.facts.sort_index()
    table = results.table
    first = next(key for key in facts.index if key[:2] == ("static", 1))
    facts.loc[facts["stratum"] == "head", "stratum"] = "tail"
    facts.loc[first, "stratum"] = "head"  # one query of one seed, and all its grades are one
    later = facts.loc[("last", 1)].index[0]
    facts.loc[("last", 1, later), "stratum"] = "head"
    alone = (table["set"] == "static") & (table["seed"] == 1) & (table["query_id"] == first[2])
    table.loc[alone, "ndcg@4"] = np.nan
    cells = gap_closed(results)
    rows = {row[0]: dict(zip(cells.headers[1:], row[1:], strict=True)) for row in cells.rows}
    assert rows["gap in points"]["head"] == rows["ours"]["head"] == NOTHING
    assert rows["gap in points"]["tail"].startswith("30.")


def test_folds_are_pooled_and_stream_queries_that_they_share_count_once(tmp_path: Path) -> None:
    results = made_up(tmp_path, marketplace=False, folds=("a", "b"))
    assert results.of("ours", "last").shape == (3, 2 * QUERIES)
    assert results.of("ours", EVOLVING, 1).shape == (3, QUERIES)
    assert results.gain("ours", "last").mean == pytest.approx(0.2)
    assert len({run.folder for run in results.runs}) == 12


@pytest.mark.parametrize("marketplace", [False, True])
def test_an_arm_that_measured_fewer_queries_is_compared_on_these_and_takes_none_from_others(
    tmp_path: Path, marketplace: bool
) -> None:
    results = made_up(tmp_path, marketplace=marketplace, arms=("ours", "random", "third"))
    table = results.table
    ids = table.loc[table["set"] == EVOLVING, "query_id"]
    gone = (table["arm"] == "third") & (table["set"] == EVOLVING) & ids.str.endswith(("1", "3"))
    fewer = Results(results.protocol, table[~gone.reindex(table.index, fill_value=False)], results.runs)
    left = int(results.gain("ours", EVOLVING, over="random").n * 0.8)
    assert fewer.gain("ours", EVOLVING, over="random") == results.gain("ours", EVOLVING, over="random")
    assert fewer.gain("third", EVOLVING, over="random").n == left
    assert fewer.gain("third", EVOLVING).n == left
    assert fewer.queries(fewer.of("third", EVOLVING)) * 10 == fewer.queries(fewer.of("ours", EVOLVING)) * 8


def test_a_seed_that_an_arm_has_not_finished_is_left_out(tmp_path: Path) -> None:
    results = made_up(tmp_path, marketplace=False)
    table = results.table[(results.table["arm"] != "random") | (results.table["seed"] != 2)]
    assert Results(results.protocol, table, results.runs).seeds == (1, 3)


def test_gain_for_a_thousand_pairs_divides_by_the_pairs(tmp_path: Path) -> None:
    rows = per_thousand(made_up(tmp_path, marketplace=False)).rows
    assert rows[0][:2] == ("ours", "100")
    assert rows[0][3].startswith("+200.0 [")


def test_the_drift_timeline_shows_the_last_look_of_each_round(tmp_path: Path) -> None:
    run = next(run for run in made_up(tmp_path, marketplace=False).own if run.seed == 1)
    said = {"p_value": 0.0012, "tests": {"mmd": {"p_value": 0.004, "effect": 0.1}}, "regions_found": 2}
    regions = [
        {"kind": "new", "queries": [0, 31], "examples": ["e-bike lock"]},
        {"kind": "dying", "queries": [12, 2], "examples": [], "shared": "language de"},
    ]
    tracer = Tracer(run.folder / "workspace" / "traces.sqlite", "t1")
    with tracer.active():
        for p_value in (0.9, 0.0012):
            with span("detect_drift", SpanKind.TOOL) as current:
                current.outputs = json.dumps(said | {"p_value": p_value, "regions": regions})
    tracer.close()
    table = drift_timeline([Run("ours", 1, run.folder)])
    assert table.rows == (
        (
            "1",
            "1",
            "window-1",
            "0.0012",
            "mmd 0.004",
            "2 (1 new, 1 dying)",
            "new “e-bike lock”, 0 → 31 queries; dying language de, 12 → 2 queries",
        ),
    )
