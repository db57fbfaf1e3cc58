"""Scores of tables of pairs; of those of a run computed once for each model and table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from serm.core.columns import DISTRIBUTION
from serm.core.records import N_GRADES
from serm.relevance_model.base import FloatArray, RelevanceModel, Scores, ShardMap, expected_grade
from serm.relevance_model.pairs import CodedPairs
from serm.relevance_model.shards import local
from serm.storage.artifacts import discard, find_or_create

_FILE = "probabilities.npy"


def score_frame(model: RelevanceModel, frame: pd.DataFrame) -> Scores:
    """Score every row of a pairs frame, in its order."""
    return model.score_pairs(CodedPairs.of_frame(frame))


def scored_chunks(
    model: RelevanceModel, chunks: Iterable[pd.DataFrame], kept: Iterable[str]
) -> Iterator[pd.DataFrame]:
    """Of each chunk of a pairs frame the columns `kept`, and beside them `score` (the expected grade, 0 to 3)
    and p0 to p3: the texts of one chunk are in memory at a time."""
    for chunk in chunks:
        scores = score_frame(model, chunk)
        yield chunk[[*kept]].assign(
            score=scores.expected, **dict(zip(DISTRIBUTION, scores.probabilities.T, strict=True))
        )


def stored_scores(
    folder: Path,
    key: str,
    model: RelevanceModel,
    frame: pd.DataFrame,
    shards: ShardMap = local,
) -> Scores:
    """The scores kept under `folder/key`, made where they are missing or damaged. Rows: `frame`'s."""

    def make(target: Path) -> None:
        pairs = CodedPairs.of_frame(frame)
        np.save(target / _FILE, model.score_pairs(pairs, shards).probabilities)

    probabilities = _kept(find_or_create(folder, key, make) / _FILE, len(frame))
    if probabilities is None:
        discard(folder / key)
        probabilities = np.load(find_or_create(folder, key, make) / _FILE)
    return Scores(probabilities=probabilities, expected=expected_grade(probabilities))


def _kept(file: Path, rows: int) -> FloatArray | None:
    """(rows, 4) from a file of scores; None where it is gone, empty, cut short or of other rows."""
    try:
        probabilities: FloatArray = np.load(file)
    except (OSError, EOFError, ValueError):
        return None
    return probabilities if probabilities.shape == (rows, N_GRADES) else None
