"""`serm audit` says whether the model has decayed, with human grades or none, and where."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import yaml
from rich.console import Console
from small_world import make_pairs, world

from serm.cli.audit import _sentence, _tell
from serm.cli.main import run
from serm.core.records import Interval
from serm.evals.decay import Change, Measured
from serm.graphs.audit import Audit, Slice
from serm.graphs.audit_sides import given_grades

pytestmark = pytest.mark.slow  # whole runs, audited


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    pairs = make_pairs(queries_per_month=40)
    pairs["query"] += [f" {name.rsplit('-', 1)[1]}" for name in pairs["query_id"]]  # no two alike
    path = folder / "serm.yaml"
    path.write_text(yaml.safe_dump(world(folder, tiny_encoder, pairs)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """The lower a query's number, the more it was asked; in the last window every third has a new word."""
    folder = tmp_path_factory.mktemp("uneven")
    pairs = make_pairs(queries_per_month=40)
    number = pairs["query_id"].str.rsplit("-", n=1).str[1].astype(int)
    pairs["impressions"] = 1000.0 // (1 + number)
    pairs["clicks"] = pairs[["clicks", "impressions"]].min(axis=1)
    fresh = pairs["query_id"].str.startswith("q3-") & (number % 3 == 0)
    pairs["query"] = fresh.map({True: "zorblet ", False: ""}) + pairs["query"] + " " + number.astype(str)
    path = folder / "serm.yaml"
    path.write_text(yaml.safe_dump(world(folder, tiny_encoder, pairs)), encoding="utf-8")
    return path


def test_uneven_traffic_makes_strata_and_a_new_word_a_region(
    uneven: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    every = tmp_path / "every.csv"  # all queries of the window, to count by hand
    audit = ["audit", str(uneven), "--window", "m4", "--json"]
    assert run([*audit, "--ask", str(every), "--pairs", "10000"]) == 0
    told = json.loads(capsys.readouterr().out)
    queries = pd.read_csv(every).drop_duplicates("query_id")["query"]
    assert told["slices"][0]["queries"] == len(queries)

    traffic = (1000 // (1 + queries.str.rsplit(" ", n=1).str[1].astype(int))).sort_values(ascending=False)
    more_frequent = (traffic.cumsum() - traffic) / traffic.sum()
    sizes = pd.cut(more_frequent, [0, 1 / 3, 2 / 3, 1], right=False, labels=["head", "torso", "tail"])
    strata = {part["name"]: part for part in told["slices"] if part["kind"] == "stratum"}
    assert {name: part["queries"] for name, part in strata.items()} == sizes.value_counts().to_dict()
    assert strata["head"]["queries"] < strata["torso"]["queries"] < strata["tail"]["queries"]
    assert strata["tail"]["measured"] is True
    assert strata["tail"]["graded"] > 0
    assert len({part["before"]["mean"] for part in strata.values()}) == 3, "each has its own past"

    (region,) = [part for part in told["slices"] if part["kind"] == "region"]
    assert region["name"].startswith("new zorblet ")
    assert region["queries"] == queries.str.startswith("zorblet ").sum() > 0
    assert (region["measured"], region["graded"]) == (False, 0), "nobody graded one: the gate has none of it"
    assert region["before"]["mean"] is not None
    for part in (*strata.values(), region):
        assert part["change"]["mean"] == pytest.approx(part["now"]["mean"] - part["before"]["mean"])
        assert part["verdict"] in ("decayed", "holds", "cannot tell")
    (found,) = told["drift"]["regions"]
    assert (found["before"], f"new {found['name']}") == (0, region["name"])


def test_the_gates_grades_measure_the_window_and_its_languages(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["audit", str(config), "--window", "m3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    whole, *parts = told["slices"]
    assert whole["kind"] == "window"
    assert whole["measured"] is True
    assert whole["change"]["low"] < whole["change"]["mean"] < whole["change"]["high"]
    assert whole["verdict"] in ("decayed", "holds", "cannot tell")
    assert {part["name"] for part in parts if part["kind"] == "language"} == {"de", "en"}
    assert told["human_grades"] > 0
    assert told["drift"]["window"] == "m3"


def test_where_the_log_names_no_language_the_gates_are_identified_as_the_windows_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_encoder: Path
) -> None:
    pairs = make_pairs(queries_per_month=40)
    words = {
        "de": "rote Lampe mit Schirm für das Wohnzimmer",
        "en": "red lamp with a shade for the living room",
    }
    number = [name.rsplit("-", 1)[1] for name in pairs["query_id"]]
    pairs["query"] = pairs["language"].map(words) + " " + pairs["query"] + " " + number
    path = tmp_path / "serm.yaml"
    config = world(tmp_path, tiny_encoder, pairs.assign(language=None))
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert run(["audit", str(path), "--window", "m3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["slices"]
    languages = {part["name"]: part for part in told if part["kind"] == "language"}
    assert set(languages) == {"de", "en"}
    assert all(part["measured"] for part in languages.values()), "its own gate queries have a language"
    assert sum(part["graded"] for part in languages.values()) == told[0]["graded"]
    assert languages["de"]["before"]["mean"] != languages["en"]["before"]["mean"], "each has its own past"


def test_graded_pairs_of_a_file_make_it_surer(
    config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = tmp_path / "ask.csv"
    assert run(["audit", str(config), "--window", "m3", "--ask", str(asked), "--pairs", "100"]) == 0
    told = capsys.readouterr().out
    assert "96 pairs of 12 queries, drawn at random" in told
    frame = pd.read_csv(asked)
    assert frame["grade"].isna().all()
    truth = pd.read_parquet(config.parent / "pairs.parquet")[["query_id", "doc_id", "grade"]]
    frame.drop(columns="grade").merge(truth, on=["query_id", "doc_id"]).to_csv(asked, index=False)
    graded = {}
    for name, more in (("gate", []), ("file", ["--grades", str(asked)])):
        assert run(["audit", str(config), "--window", "m3", "--json", *more]) == 0
        graded[name] = json.loads(capsys.readouterr().out)
    assert graded["file"]["human_grades"] == graded["gate"]["human_grades"] + 96
    assert graded["file"]["slices"][0]["graded"] > graded["gate"]["slices"][0]["graded"]


def test_grades_of_other_pairs_are_not_counted_and_an_id_may_read_like_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_encoder: Path
) -> None:
    pairs = make_pairs(queries_per_month=40)
    pairs["query"] += [f" {name.rsplit('-', 1)[1]}" for name in pairs["query_id"]]
    path, file = tmp_path / "serm.yaml", tmp_path / "grades.csv"
    text = world(tmp_path, tiny_encoder, pairs)
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    audit = ["audit", str(path), "--window", "m3"]
    assert run([*audit, "--ask", str(file), "--pairs", "8"]) == 0
    asked, *_ = pd.read_csv(file)["query_id"]
    names = pairs["query_id"].replace(asked, "NA")
    pairs.assign(query_id=names).to_parquet(tmp_path / "pairs.parquet", index=False)
    own = pairs[names == "NA"]
    rows = [f"NA,{key},{grade}" for key, grade in zip(own["doc_id"], own["grade"], strict=True)]
    file.write_text("\n".join(["query_id,doc_id,grade", *rows, "q2-1,d-none,1", "NA,null,"]) + "\n")
    capsys.readouterr()
    assert run([*audit, "--grades", str(file)]) == 0
    assert "1 given grade of no pair of this window: left out." in capsys.readouterr().out
    assert run([*audit, "--grades", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert run([*audit, "--json"]) == 0
    assert told["human_grades"] == json.loads(capsys.readouterr().out)["human_grades"] + 8
    assert told["grades_elsewhere"] == 1
    file.write_text(file.read_text().replace(",", ";"), encoding="utf-8-sig")  # as a spreadsheet may save it
    assert run([*audit, "--grades", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told
    assert run([*audit, "--ask", str(file)]) == 2, "what people graded stays"
    assert f"would take the place of {len(rows) + 1} grades" in capsys.readouterr().err
    file.write_text("query_id,doc_id,grade\nq2-1,d-none,1\n")
    assert run([*audit, "--grades", str(file)]) == 3
    assert "none of the 1 given grades is of a pair of window m3" in capsys.readouterr().err


def test_a_text_under_two_ids_is_one_query_with_the_grades_of_both() -> None:
    """Its expected NDCG is of the rows of both ids, and so is what people say of it."""
    graded = pd.DataFrame(
        {
            "query_id": ["a"] * 4 + ["b"] * 2 + ["c"] * 2,
            "doc_id": list("stuvwxyz"),
            "grade": [3, 2, 1, 1, 0, 0, 2, 2],
            "query": [5] * 6 + [2] * 2,
        }
    )
    ranked, index = np.arange(8, 0, -1, dtype=np.float32), graded["query"].to_numpy()
    there, human, _ = given_grades(graded["doc_id"], index, graded, ranked)
    assert there.tolist() == [False, False, True, False, False, True]
    assert human[5] == 1.0, "ranked as people grade, up to rank 4"
    assert np.isnan(human[[0, 1, 2, 3, 4]]).all(), "not graded, or with one grade"
    twice = graded.assign(doc_id=list("stuvstyz"))  # the same documents under both ids
    assert given_grades(twice["doc_id"], index, twice, ranked)[1][5] == 1.0
    some = twice[twice["doc_id"] != "u"]
    assert given_grades(twice["doc_id"], index, some, ranked)[2] == 1, "one of the list is missing"


def test_a_bracket_in_a_name_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    estimate = Interval(0.5, 0.4, 0.6, 9, 0.95)
    change = Change(Measured(estimate, 3), Measured(estimate, 3), estimate, "holds")
    found = SimpleNamespace(
        slices=(Slice("region", "new how to edit [/etc/fstab]", 9, change),),
        human_grades=0,
        elsewhere=0,
        in_part=0,
        unlike=None,
        found=None,
    )
    with mock.patch("serm.cli.drift_report.headline", return_value="m3"):
        _tell(Console(width=120), found, 0.01)  # type: ignore[arg-type]
    assert "new how to edit [/etc/fstab]" in capsys.readouterr().out


def test_a_wrong_grade_is_an_error_that_names_file_row_and_field(
    config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "grades.csv"
    file.write_text("query_id,doc_id,grade\nq1,d1,\nq1,d2,7\n")
    assert run(["audit", str(config), "--grades", str(file)]) == 3
    assert "row 2, field grade" in capsys.readouterr().err
    file.write_text("query_id,doc_id,grade\nq1,d1,1\nq1,d2,0\nq1,d1,1\nq1,d2,3\n")
    assert run(["audit", str(config), "--grades", str(file)]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "row 4, field grade" in said
    assert "query 'q1', document 'd2' has two grades" in said
    file.write_text("query_id,grade\nq1,1\n")
    assert run(["audit", str(config), "--grades", str(file)]) == 3
    assert "doc_id is missing" in capsys.readouterr().err


def test_one_query_before_is_too_few_and_no_change_is_named() -> None:
    now, before = (Measured(Interval(0.5, math.nan, math.nan, n, 0.95), 0) for n in (9, 1))
    nothing = Interval(-0.1, math.nan, math.nan, 1, 0.95)
    slices = (Slice("window", "m3", 9, Change(now, before, nothing, "cannot tell")),)
    said = _sentence(Audit(None, slices, 0, 0), 0.01)  # type: ignore[arg-type]
    assert said.endswith("9 and 1 queries, now and before, are too few to compare.")
