"""From rows to windows, seals, seed, gate and tests."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import serm.storage.readers
import serm.storage.routing
from serm.core import Settings
from serm.core.columns import language_code
from serm.core.errors import DataError, WorkspaceMismatchError
from serm.core.hashing import query_bucket
from serm.core.settings_data import TestRule as Rule
from serm.storage.dataset import DataSet
from serm.storage.ingest import _targets, dataset_key, ingest
from serm.storage.plan import NO_GRADE, NO_SET, NO_WINDOW, SPENT, Plan
from serm.storage.repeats import Repeats
from serm.storage.workspace import Workspace

Rows = Callable[..., Any]
Ingested = Callable[..., DataSet]

PAIRS_FRAME = ["query_id", "doc_id", "query", "title", "text", "language", "source", "timestamp"]
PAIRS_FRAME += ["impressions", "clicks", "dwell_seconds", "position"]

SPLIT_SETS = [{"set": name, "when": {"split": [name]}} for name in ("seed", "gate", "stream", "test")]


@pytest.fixture
def four_sets(many_rows: Rows) -> list[dict[str, Any]]:
    """Ten queries in each set, stream and gate in two languages."""
    return [
        item
        for place, split in enumerate(("seed", "gate", "stream", "test"))
        for part, language in enumerate(("en", "de"))
        for item in many_rows(5, 3, first=10 * place + 5 * part, split=split, language=language)
    ]


LANGUAGE_WINDOWS = {"rules": [{"name": name, "when": {"language": [name]}} for name in ("en", "de")]}


def test_rules_make_the_four_sets_and_the_windows(ingested: Ingested, four_sets: Any) -> None:
    dataset = ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    assert [(window.name, window.pairs, window.queries) for window in dataset.windows] == [
        ("en", 15, 5),
        ("de", 15, 5),
    ]
    assert (dataset.seed_counts.pairs, dataset.gate_counts.queries) == (30, 10)
    assert [(test.name, test.pairs) for test in dataset.tests] == [("test", 30)]
    assert dataset.window(1)["language"].unique().tolist() == ["de"]
    assert not dataset.left_out
    assert not dataset.rejected


def test_a_window_has_no_grades_and_its_seal_has_nothing_else(ingested: Ingested, four_sets: Any) -> None:
    dataset = ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    assert list(dataset.window(0)) == PAIRS_FRAME
    assert list(pd.read_parquet(dataset.windows[0].path)) == PAIRS_FRAME
    assert list(dataset.sealed(0)) == ["query_id", "doc_id", "grade"]
    assert len(dataset.sealed(0)) == 15


def test_only_graded_rows_are_under_seal_and_in_seed_gate_and_test(
    ingested: Ingested, four_sets: Any
) -> None:
    rows = [{**row, "grade": None if row["doc_id"] == "d0" else row["grade"]} for row in four_sets]
    dataset = ingested(rows, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    assert len(dataset.window(0)) == 15
    assert len(dataset.sealed(0)) == 10
    assert [len(dataset.seed()), len(dataset.gate(9)), len(dataset.test("test"))] == [20, 20, 20]
    assert dataset.left_out == {NO_GRADE: 30}


def test_the_gate_opens_with_its_windows(ingested: Ingested, four_sets: Any, many_rows: Rows) -> None:
    rows = [*four_sets, *many_rows(2, first=90, split="gate", language="fr")]
    dataset = ingested(rows, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    assert [dataset.gate(index)["query_id"].nunique() for index in (-1, 0, 1)] == [2, 7, 12]
    assert set(dataset.gate(0)["window"]) == {-1, 0}


def test_a_seed_gate_is_open_from_the_start_and_knows_its_window(ingested: Ingested, four_sets: Any) -> None:
    dataset = ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS, seed_gate={"language": ["en"]})
    opened = dataset.gate(-1)
    assert opened["language"].unique().tolist() == ["en"]
    assert (opened["window"].unique().tolist(), opened["opens"].unique().tolist()) == ([0], [-1])


def test_a_language_is_one_however_a_file_or_the_config_spells_it(
    ingested: Ingested, four_sets: Any, many_rows: Rows
) -> None:
    rows = [*four_sets, *many_rows(2, first=90, split="stream", language=" DE ")]
    windows = {"rules": [{"name": name, "when": {"language": [name.upper()]}} for name in ("en", "de")]}
    dataset = ingested(rows, sets=SPLIT_SETS, windows=windows)
    assert dataset.window(1)["language"].unique().tolist() == ["de"]
    assert dataset.window(1)["query_id"].nunique() == 7
    assert language_code("pt_BR") == language_code("pt-br") == "pt-br"


def test_named_tests_have_roles_and_may_overlap(ingested: Ingested, four_sets: Any) -> None:
    tests = [
        {"name": "all"},
        {"name": "de", "when": {"language": ["de"]}, "role": "last"},
        {"name": "en", "when": {"language": ["en"]}, "role": "static"},
    ]
    dataset = ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS, tests=tests)
    assert [(test.name, test.pairs) for test in dataset.tests] == [("all", 30), ("de", 15), ("en", 15)]
    assert dataset.static_test is not None
    assert dataset.last_test is not None
    assert (dataset.static_test.name, dataset.last_test.name) == ("en", "de")


def test_one_plain_test_is_both_static_and_last_but_a_role_is_taken_at_its_word(
    ingested: Ingested, four_sets: Any
) -> None:
    plain = ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    assert plain.static_test == plain.last_test == plain.tests[0]


def test_a_last_test_alone_is_not_called_static(ingested: Ingested, four_sets: Any) -> None:
    dataset = ingested(
        four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS, tests=[{"name": "t", "role": "last"}]
    )
    assert dataset.static_test is None


def test_without_any_setting_the_first_window_becomes_the_seed(ingested: Ingested, many_rows: Rows) -> None:
    dataset = ingested(many_rows(100))
    buckets = {f"q{number}": query_bucket(f"q{number}", 5) for number in range(100)}
    assert set(dataset.gate(9)["query_id"]) == {name for name, bucket in buckets.items() if bucket == 0}
    assert set(dataset.test("test")["query_id"]) == {name for name, bucket in buckets.items() if bucket == 1}
    assert len(dataset.windows) == 3  # of four, one is the seed
    stream = [name for name, bucket in buckets.items() if bucket > 1]
    assert set(dataset.seed()["query_id"]) == set(stream[: dataset.seed_counts.queries])
    assert not dataset.gate(-1).empty  # the first window's gate
    assert len(dataset.gate(-1)) < len(dataset.gate(0))


def test_queries_of_the_seed_that_come_again_later_are_left_out_and_counted(
    ingested: Ingested, many_rows: Rows
) -> None:
    first = many_rows(50, 2, timestamp="2024-01-01")
    again = [{**row, "doc_id": "new", "timestamp": "2024-06-01"} for row in first[::2]]
    dataset = ingested([*first, *again, *many_rows(20, 2, first=60, timestamp="2024-06-01")])
    assert dataset.left_out[SPENT] == dataset.seed_counts.queries
    assert not set(dataset.seed()["query_id"]) & set(dataset.window(0)["query_id"])


def test_rows_that_no_set_or_window_takes_are_counted(ingested: Ingested, four_sets: Any) -> None:
    rows = [*four_sets, {**four_sets[0], "query_id": "x", "split": "odd"}]
    dataset = ingested(rows, sets=SPLIT_SETS, windows={"rules": LANGUAGE_WINDOWS["rules"][:1]})
    assert dataset.left_out == {NO_SET: 1, NO_WINDOW: 15}


def test_a_query_in_two_sets_is_kept_by_the_stricter_and_its_other_rows_are_rejected(
    ingested: Ingested, four_sets: Any
) -> None:
    test_row = next(row for row in four_sets if row["split"] == "test")
    rows = [*four_sets, {**test_row, "doc_id": "other", "split": "stream"}]
    dataset = ingested(rows, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    assert dataset.reject_reasons == {"its query stands in the sets test and stream: test keeps it": 1}


def test_stream_grades_change_neither_windows_nor_their_names(ingested: Ingested, four_sets: Any) -> None:
    other = [{**row, "grade": 3 - row["grade"]} if row["split"] == "stream" else row for row in four_sets]
    one = ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    two = ingested(other, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    assert one.id != two.id
    assert [window.id for window in one.windows] == [window.id for window in two.windows]
    assert one.windows[0].path.read_bytes() == two.windows[0].path.read_bytes()


def test_the_size_of_a_chunk_does_not_show_in_the_result(
    tmp_path: Path, settings_of: Callable[..., Settings], four_sets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pd.DataFrame(four_sets).to_parquet(tmp_path / "pairs.parquet")
    ids = []
    for chunk in (7, 1_000):
        whole = serm.storage.readers.read_source

        def small(*given: Any, rows: int = chunk, read: Any = whole) -> Any:
            return read(*given, rows)

        monkeypatch.setattr("serm.storage.ingest.read_source", small)
        monkeypatch.setattr(serm.storage.routing, "OPEN_FILES", 3)
        settings = settings_of(sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS).model_copy(
            update={"workspace": tmp_path / f"work{chunk}"}
        )
        with Workspace.open(settings) as workspace:
            dataset = ingest(settings, workspace)
            ids.append([dataset.seed_id, *(window.id for window in dataset.windows)])
        monkeypatch.undo()
    assert ids[0] == ids[1]


@pytest.mark.parametrize("windows", [2, 200])
def test_what_goes_where_takes_no_memory_a_window_and_a_test(tmp_path: Path, windows: int) -> None:
    rows = 1_000_000
    everywhere, window = np.ones(rows, dtype=bool), np.arange(rows, dtype=np.int32) % windows
    planned = Plan(
        seed=~everywhere,
        gate=~everywhere,
        stream=everywhere,
        judged=~everywhere,
        graded=everywhere,
        windows=tuple(map(str, range(windows))),
        window=window,
        opens=window,
        gate_lists=~everywhere,
        judged_lists=~everywhere,
        tests=tuple((Rule(name=str(test)), np.flatnonzero(window == test)) for test in range(windows)),
        repeats=Repeats(*[np.zeros(0, dtype=np.int64)] * 3),
        left_out={},
        rejects=(),
    )
    tracemalloc.start()
    targets = _targets(tmp_path, planned)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 3 * rows
    here = slice(1_000, 1_500)
    for kind in ("window", "sealed", "test"):
        found = targets[f"{kind} 1"].rows(here)
        assert np.array_equal(found, window[here] == 1)


def test_the_same_input_is_found_and_not_read_again(
    ingested: Ingested, four_sets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    monkeypatch.setattr("serm.storage.ingest.read_source", None)
    two = ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    assert (one.id, one.windows) == (two.id, two.windows)


def test_a_data_sets_name_does_not_depend_on_where_its_files_lie(
    tmp_path: Path, settings_of: Callable[..., Settings], four_sets: Any
) -> None:
    keys = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pd.DataFrame(four_sets).to_parquet(tmp_path / name / "pairs.parquet")
        keys.append(dataset_key(settings_of(sources=[{"pairs": f"{name}/pairs.parquet"}])))
    assert keys[0] == keys[1]


def test_a_stream_that_grew_is_gone_on_with(ingested: Ingested, four_sets: Any, many_rows: Rows) -> None:
    windows = {"by": "time", "period": "10D"}
    rows = [{**row, "timestamp": "2024-01-01"} for row in four_sets]
    one = ingested(rows, sets=SPLIT_SETS, windows=windows)
    more = many_rows(5, 3, first=50, split="stream", timestamp="2024-03-01")
    two = ingested([*rows, *more], sets=SPLIT_SETS, windows=windows)
    assert [window.id for window in two.windows][:1] == [window.id for window in one.windows]
    assert len(two.windows) == 2


def begin_rounds(folder: Path, last: int) -> None:
    """As rounds 0 to `last` do once they have labels."""
    for number in range(last + 1):
        (folder / "work" / "rounds" / f"{number:03d}").mkdir(exist_ok=True)


def test_a_window_that_changed_under_a_round_that_used_it_is_refused(
    tmp_path: Path, ingested: Ingested, four_sets: Any
) -> None:
    ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    begin_rounds(tmp_path, 2)
    changed = [{**row, "text": "new"} if row["query_id"] == "q25" else row for row in four_sets]
    with pytest.raises(WorkspaceMismatchError, match="window de is another") as raised:
        ingested(changed, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    assert raised.value.remedy
    ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)  # put back, it goes on


def graded_anew(rows: Any, query: str) -> list[dict[str, Any]]:
    return [{**row, "grade": 3 - row["grade"]} if row["query_id"] == query else row for row in rows]


@pytest.mark.parametrize(
    ("query", "words"), [("q10", "the gate has other rows or grades"), ("q30", "the test test has other")]
)
def test_grades_that_were_corrected_under_the_workspace_are_refused(
    tmp_path: Path, ingested: Ingested, four_sets: Any, *, query: str, words: str
) -> None:
    ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    begin_rounds(tmp_path, 1)
    with pytest.raises(WorkspaceMismatchError, match=words) as raised:
        ingested(graded_anew(four_sets, query), sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    assert raised.value.remedy
    ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)  # put back, it goes on


def test_gate_grades_may_be_corrected_until_a_round_uses_their_window(
    tmp_path: Path, ingested: Ingested, four_sets: Any
) -> None:
    ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    begin_rounds(tmp_path, 1)
    ingested(graded_anew(four_sets, "q15"), sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)  # of the window de
    begin_rounds(tmp_path, 2)
    with pytest.raises(WorkspaceMismatchError, match="the gate has other rows or grades"):
        ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)


def test_gate_and_test_rows_may_come_with_a_stream_that_grew_and_only_with_it(
    tmp_path: Path, ingested: Ingested, four_sets: Any, many_rows: Rows
) -> None:
    windows = {"by": "time", "period": "10D"}
    rows = [{**row, "timestamp": "2024-01-01"} for row in four_sets]
    # It opens with January, until March is there.
    rows += many_rows(1, 3, first=48, split="gate", timestamp="2024-03-02")
    ingested(rows, sets=SPLIT_SETS, windows=windows)
    begin_rounds(tmp_path, 1)
    more = [
        item
        for place, split in enumerate(("stream", "gate", "test"))
        for item in many_rows(5, 3, first=50 + 5 * place, split=split, timestamp="2024-03-01")
    ]
    for split, words in (("gate", "the gate has other rows"), ("test", "the test test has other rows")):
        with pytest.raises(WorkspaceMismatchError, match=words):
            ingested(
                [*rows, *(row for row in more if row["split"] == split)], sets=SPLIT_SETS, windows=windows
            )
    for query in ("q10", "q48", "q30"):
        with pytest.raises(WorkspaceMismatchError, match="has other rows or grades"):
            ingested([*graded_anew(rows, query), *more], sets=SPLIT_SETS, windows=windows)
    assert len(ingested([*rows, *more], sets=SPLIT_SETS, windows=windows).windows) == 2


def test_a_workspace_of_a_version_that_noted_no_grades_takes_them_as_they_are(
    tmp_path: Path, ingested: Ingested, four_sets: Any
) -> None:
    def noted(dataset: DataSet) -> Any:
        return json.loads((dataset.folder.parent / "current.json").read_text())

    one = ingested(four_sets, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
    old = {name: value for name, value in noted(one).items() if name not in ("gate", "tests")}
    for rows in (four_sets, graded_anew(four_sets, "q10")):
        (one.folder.parent / "current.json").write_text(json.dumps(old))
        new = ingested(rows, sets=SPLIT_SETS, windows=LANGUAGE_WINDOWS)
        assert noted(new)["id"] == new.id
        assert noted(new)["gate"]


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("stream", "no row is in the stream"),
        ("seed", "in the seed"),
        ("gate", "in the gate"),
        ("test", "test"),
    ],
)
def test_a_set_without_rows_is_an_error_that_names_it(
    ingested: Ingested, four_sets: Any, split: str, words: str
) -> None:
    with pytest.raises(DataError, match=words) as raised:
        ingested([row for row in four_sets if row["split"] != split], sets=SPLIT_SETS)
    assert raised.value.remedy
