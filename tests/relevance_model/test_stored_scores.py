"""Scores that are kept: computed once, and once more where what was kept is damaged."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from serm.core.errors import StorageError
from serm.relevance_model.base import RelevanceModel, Scores, expected_grade
from serm.relevance_model.scoring import stored_scores


class Counted:
    """Stands in for a model: gives each pair a distribution of its own, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def score_pairs(self, pairs: Any, _shards: Any) -> Scores:
        self.asked += 1
        numbers = np.arange(4 * len(pairs), dtype=np.float32).reshape(-1, 4) + 1
        probabilities = numbers / numbers.sum(axis=1, keepdims=True)
        return Scores(probabilities, expected_grade(probabilities))


@pytest.fixture
def model() -> Any:
    return Counted()


def _frame(rows: int) -> pd.DataFrame:
    texts = [f"text {row}" for row in range(rows)]
    return pd.DataFrame({"query": texts, "title": "", "text": texts, "language": "en"})


def _empty(file: Path) -> None:
    os.truncate(file, 0)


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def _zeros(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def _of_another_table(file: Path) -> None:
    np.save(file, np.ones((3, 4), dtype=np.float32))


@pytest.mark.parametrize("damage", [_empty, _cut, _zeros, Path.unlink, _of_another_table])
def test_damaged_scores_are_made_again_once(
    tmp_path: Path, model: Any, damage: Callable[[Path], None]
) -> None:
    def kept() -> Scores:
        scorer: RelevanceModel = model
        return stored_scores(tmp_path, "key", scorer, _frame(5))

    whole = kept()
    assert (kept().probabilities == whole.probabilities).all()
    assert model.asked == 1
    damage(tmp_path / "key" / "probabilities.npy")
    for _ in range(2):
        assert (kept().probabilities == whole.probabilities).all()
    assert model.asked == 2
    assert [item.name for item in tmp_path.iterdir()] == ["key"]


def test_damaged_scores_that_cannot_be_removed_are_a_sentence(
    tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    stored_scores(tmp_path, "key", model, _frame(5))
    _empty(tmp_path / "key" / "probabilities.npy")
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StorageError, match="read-only"):
        stored_scores(tmp_path, "key", model, _frame(5))
