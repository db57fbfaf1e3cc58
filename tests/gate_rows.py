"""Gates of made-up queries, and models that rank them more or less well."""

from __future__ import annotations

import numpy as np
import pandas as pd

from serm.relevance_model.base import Scores, expected_grade


def gate_rows(queries: int, pairs: int = 12, newest: int = 1, seed: int = 0) -> pd.DataFrame:
    """Every third query is of the newest window, every second is German."""
    rng = np.random.default_rng(seed)
    number = np.repeat(np.arange(queries), pairs)
    grades = rng.choice(4, len(number), p=[0.7, 0.1, 0.1, 0.1])
    grades[::pairs], grades[1::pairs] = 0, 3  # every query is mixed
    return pd.DataFrame(
        {
            "query_id": [f"q{i}" for i in number],
            "doc_id": [f"d{i}" for i in range(len(number))],
            "grade": grades,
            "language": np.where(number % 2, "de", "en"),
            "window": np.where(number % 3, -1, newest),
        }
    )


def scored(frame: pd.DataFrame, noise: np.ndarray | float, seed: int = 9) -> Scores:
    """Distributions that lean to the human grade, the less the noisier."""
    rng = np.random.default_rng(seed)
    noise = np.broadcast_to(noise, len(frame))[:, None]
    weight = np.eye(4)[frame["grade"]] + noise * rng.random((len(frame), 4))
    given = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    return Scores(given, expected_grade(given))
