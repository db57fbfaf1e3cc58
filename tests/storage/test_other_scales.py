"""A source that grades on another scale says what its values mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from serm.core.settings_data import Source
from serm.storage import checks
from serm.storage.readers import read_source
from serm.storage.rejects import RejectLog, read_rejects

Rows = Callable[..., Any]
FIVE = {0: 0, 1: 1, 2: 2, 3: 2, 4: 3}


def read_with(
    file: Path, grades: dict[Any, int | None], settings_of: Rows, **source: Any
) -> tuple[pd.DataFrame, list[Any]]:
    settings = settings_of(sources=[{"pairs": str(file), "grades": grades, **source}])
    log = file.parent / "rejects.jsonl"
    with RejectLog(log) as rejects:
        frame = pd.concat(read_source(settings.data.sources[0], settings, rejects), ignore_index=True)
    return frame, list(read_rejects(log))


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_values_become_the_grades_that_they_are_mapped_to(
    tmp_path: Path, good_row: Rows, settings_of: Rows, ending: str
) -> None:
    frame = pd.DataFrame([good_row(1, doc, grade=value) for doc, value in enumerate([0, 1, 2, 3, 4, None])])
    file = tmp_path / f"pairs.{ending}"
    if ending == "parquet":
        frame.to_parquet(file)
    elif ending == "csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_json(file, orient="records", lines=True)
    read, rejects = read_with(file, FIVE, settings_of)
    assert read["grade"].tolist() == [0, 1, 2, 2, 3, pd.NA]
    assert not rejects


def test_letters_may_be_grades_and_a_value_that_is_not_named_is_rejected(
    tmp_path: Path, good_row: Rows, settings_of: Rows
) -> None:
    file = tmp_path / "pairs.parquet"
    letters = ["E", "S", "C", "I", "X", ""]
    pd.DataFrame([good_row(1, doc, grade=letter) for doc, letter in enumerate(letters)]).to_parquet(file)
    read, rejects = read_with(file, {"E": 3, "S": 2, "C": 1, "I": 0}, settings_of)
    assert read["grade"].tolist() == [3, 2, 1, 0, pd.NA]
    assert [(item.row, item.field, item.reason) for item in rejects] == [(5, "grade", checks.UNNAMED_GRADE)]


def test_a_value_that_goes_to_nothing_is_no_grade(tmp_path: Path, settings_of: Rows) -> None:
    """TREC's -1 says that nobody could judge the document."""
    (tmp_path / "pairs.qrels").write_text("q1 0 d1 2\nq1 0 d2 -1\n")
    (tmp_path / "queries.tsv").write_text("q1\tred shoes\n")
    (tmp_path / "corpus.tsv").write_text("d1\ta shoe\nd2\tanother\n")
    read, rejects = read_with(
        tmp_path / "pairs.qrels",
        {-1: None, 0: 0, 1: 2, 2: 3},
        settings_of,
        queries=str(tmp_path / "queries.tsv"),
        corpus=str(tmp_path / "corpus.tsv"),
    )
    assert read["grade"].tolist() == [3, pd.NA]
    assert not rejects


def test_a_row_off_the_scale_is_told_of_the_map(tmp_path: Path, read: Rows, good_row: Rows) -> None:
    file = tmp_path / "pairs.parquet"
    pd.DataFrame([good_row(1, 1, grade=4), good_row(1, 2, grade=3)]).to_parquet(file)
    _, rejects = read(file)
    assert "`grades` of the source maps another scale" in rejects[0].reason


@pytest.mark.parametrize("grades", [{4: 4}, {"E": -1}, {"E": 1.5}, {"E": "high"}])
def test_a_map_to_what_is_no_grade_is_refused(grades: dict[Any, Any]) -> None:
    with pytest.raises(ValidationError, match="grades"):
        Source(pairs=Path("p.parquet"), grades=grades)
