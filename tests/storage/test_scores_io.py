"""Scores are written part by part, each pair once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serm.core.errors import ConfigError, DataError
from serm.storage.rejects import RejectLog
from serm.storage.scores_io import COLUMNS, check_scores_path, each_once, writable, write_scores
from serm.storage.table_files import TABLES


def _scores(first: int, last: int) -> pd.DataFrame:
    numbers = np.arange(first, last, dtype=np.float32)
    ids = {
        "query_id": [f"q{number // 3:.0f}" for number in numbers],
        "doc_id": [f"dé{n:.0f}" for n in numbers],
    }
    return (
        pd.DataFrame(ids)
        .assign(score=numbers / 7, p0=numbers, p1=0.1, p2=0.2, p3=0.3)
        .astype(dict.fromkeys(("score", "p0", "p1", "p2", "p3"), np.float32))
    )


@pytest.mark.parametrize("ending", sorted(TABLES))
def test_a_table_of_parts_is_the_table_of_the_whole(tmp_path: Path, ending: str) -> None:
    whole = _scores(0, 50)
    parts = [whole[start : start + 20].assign(grade=1) for start in (0, 20, 40)]
    found, expected = tmp_path / f"found{ending}", tmp_path / f"expected{ending}"
    write_scores(parts, found, "tag")
    TABLES[ending](whole, expected)
    if ending == ".parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(found), pd.read_parquet(expected))
    else:
        assert found.read_bytes() == expected.read_bytes()


@pytest.mark.parametrize("ending", sorted(TABLES))
def test_a_part_is_on_its_way_to_the_disk_before_the_next_is_scored(tmp_path: Path, ending: str) -> None:
    def parts() -> Iterator[pd.DataFrame]:
        sizes = []
        for number in range(3):
            yield _scores(number * 5_000, (number + 1) * 5_000)
            sizes += [file.stat().st_size for file in tmp_path.iterdir()]
        assert 1_000 < sizes[0] < sizes[1] < sizes[2]

    write_scores(parts(), tmp_path / f"scores{ending}", "tag")
    assert [file.name for file in tmp_path.iterdir()] == [f"scores{ending}"]


def test_a_run_of_parts_has_a_query_s_documents_together(tmp_path: Path) -> None:
    write_scores([_scores(0, 4), _scores(4, 7)], tmp_path / "scores.run", "tag")
    rows = [line.split() for line in (tmp_path / "scores.run").read_text().splitlines()]
    assert [(row[0], row[2], row[3]) for row in rows[:4]] == [
        ("q0", "dé2", "1"),
        ("q0", "dé1", "2"),
        ("q0", "dé0", "3"),
        ("q1", "dé5", "1"),
    ]


def test_a_part_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def parts() -> Iterator[pd.DataFrame]:
        yield _scores(0, 4)
        raise DataError("its second part is no good.")

    with pytest.raises(DataError, match="second part"):
        write_scores(parts(), tmp_path / "scores.csv", "tag")
    assert not list(tmp_path.iterdir())


def test_a_pair_that_came_in_an_earlier_chunk_goes_to_the_rejects(tmp_path: Path) -> None:
    chunks = [
        pd.DataFrame(
            {"query_id": list(queries), "doc_id": list(documents), "file": "in.csv", "row": [1, 2, 3]}
        )
        for queries, documents in (("aab", "xyx"), ("abb", "xxz"), ("aab", "xyx"))
    ]
    with RejectLog(tmp_path / "rejects.jsonl") as rejects:
        found = [list(chunk["row"]) for chunk in each_once(chunks, rejects)]
    assert found == [[1, 2, 3], [3]]
    told = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [item["row"] for item in told] == [1, 2, 1, 2, 3]
    assert {item["reason"] for item in told} == {"the pair was there before"}


def test_ids_that_read_alike_side_by_side_are_two_pairs(tmp_path: Path) -> None:
    chunk = pd.DataFrame({"query_id": ["1", "11"], "doc_id": ["12", "2"], "file": "in.csv", "row": [1, 2]})
    with RejectLog(tmp_path / "rejects.jsonl") as rejects:
        assert [len(item) for item in each_once([chunk], rejects)] == [2]


def test_a_blank_in_an_id_is_refused_for_a_run_alone() -> None:
    chunks = [pd.DataFrame({"query_id": [query], "doc_id": ["c"]}) for query in ("a", "a b")]
    assert len(list(writable(chunks, Path("scores.csv")))) == 2
    checked = writable(chunks, Path("scores.run"))
    next(checked)
    with pytest.raises(DataError, match="the id `a b` has a blank in it, which TREC runs cannot hold"):
        next(checked)


def test_a_run_with_a_blank_in_an_id_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`a b` has a blank in it"):
        write_scores([_scores(0, 1).assign(query_id="a b")[[*COLUMNS]]], tmp_path / "scores.run", "tag")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "scores.csv"
    folder.mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        check_scores_path(folder)
