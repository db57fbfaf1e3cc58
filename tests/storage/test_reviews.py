"""A person's answers: each on disk when it is given, whatever happens next."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from serm.core.errors import DataError, StorageError, WorkspaceError
from serm.core.records import PairKey
from serm.storage.artifacts import write_json
from serm.storage.reviews import ABOUT, ANSWERS, PAIRS, HumanAnswer, Review, point_at, waiting

KEYS = [PairKey("q1", "d1"), PairKey("q1", "d2"), PairKey("q2", "d1")]


@pytest.fixture
def review(tmp_path: Path) -> Review:
    folder = tmp_path / "reviews" / "abc"
    folder.mkdir(parents=True)
    pd.DataFrame(KEYS, columns=["query_id", "doc_id"]).to_parquet(folder / PAIRS, index=False)
    write_json(folder / ABOUT, {"round": 3, "window": "w", "labels": "abc", "dropped": 3, "opened": ""})
    return Review(folder)


def answer(place: int, grade: int | None, reviewer: str = "anna", **more: object) -> HumanAnswer:
    return HumanAnswer(*KEYS[place], grade=grade, reviewer=reviewer, **more)  # type: ignore[arg-type]


def test_the_latest_answer_counts_a_skip_is_an_answer_and_an_undone_one_is_none(review: Review) -> None:
    assert review.open() == KEYS
    review.add([answer(0, 3), answer(1, None)])
    review.add([answer(0, 2, "ben", note="not the shop")])
    assert review.open() == [KEYS[2]]
    said = review.answers()
    assert (said[KEYS[0]].grade, said[KEYS[0]].reviewer, said[KEYS[1]].grade) == (2, "ben", None)
    review.add([answer(0, None, undone=True)])
    assert review.open() == [KEYS[0], KEYS[2]]
    assert len(review.history()) == 4
    assert all(item.at.endswith("+00:00") for item in review.history())


def test_half_a_line_of_a_killed_process_is_no_answer_and_in_nobodys_way(review: Review) -> None:
    review.add([answer(0, 3)])
    path = review.folder / ANSWERS
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-5])
    assert len(review.history()) == 1
    review.add([answer(1, 1)])
    assert [item.grade for item in review.history()] == [3, 1]


def test_a_damaged_line_is_named(review: Review) -> None:
    review.add([answer(0, 3)])
    path = review.folder / ANSWERS
    path.write_bytes(b'{"grade": 9}\n' + path.read_bytes())
    with pytest.raises(WorkspaceError, match=r"answers.jsonl is damaged in line 1"):
        review.answers()


def test_a_full_disk_leaves_all_or_nothing(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    review.add([answer(0, 3)])
    write, space = os.write, [100, 100, 100]

    def full(file: int, data: bytes) -> int:
        if not space:
            raise OSError(errno.ENOSPC, "no space")
        return write(file, data[: space.pop()])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match="the disk is full"):
        review.add([answer(1, 1, note="x" * 300), answer(2, 1)])
    monkeypatch.undo()
    assert [item.grade for item in review.history()] == [3]
    assert (review.folder / ANSWERS).read_bytes().endswith(b"\n")


def test_answers_to_other_pairs_are_refused_with_all_that_came_along(review: Review) -> None:
    with pytest.raises(DataError, match="query q9, document d9 is no pair of this review"):
        review.add([answer(0, 1), HumanAnswer("q9", "d9", 1, "anna")])
    assert review.history() == []
    with pytest.raises(ValueError, match="grade 4"):
        answer(0, 4)


def test_a_closed_review_keeps_its_answers_and_takes_no_more(review: Review, tmp_path: Path) -> None:
    point_at(tmp_path / "reviews", review, rounds=2)
    found = waiting(tmp_path / "reviews")
    assert found is not None
    assert (found[0].folder, found[1]) == (review.folder, 2)
    review.add([answer(0, 3), answer(1, None)])
    closed = review.close()
    assert {key: item.grade for key, item in closed.items()} == {KEYS[0]: 3, KEYS[1]: None}
    assert review.close() == closed
    assert review.open() == []  # what was open stays without an answer
    with pytest.raises(WorkspaceError, match="the review of round 3 is closed"):
        review.add([answer(2, 1)])
    assert review.answers() == closed
    assert waiting(tmp_path / "reviews") is None


def test_people_who_answer_at_the_same_time_lose_nothing(review: Review) -> None:
    def work(name: str) -> None:
        mine = Review(review.folder)  # a lock is of an open file: each opens its own
        for number in range(20):
            mine.add([answer(number % 3, number % 4, name)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, ["anna", "ben", "cid", "dora"]))
    assert len(review.history()) == 80
    assert review.open() == []


def test_a_note_with_half_an_emoji_is_kept(review: Review) -> None:
    review.add([answer(0, 3, "anna\ud83d", note="nice \ud83d")])
    (said,) = review.history()
    assert (said.reviewer, said.note) == ("anna\ufffd", "nice \ufffd")
