"""A small data set, built in the open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

SETS = {"sets": [{"set": set_, "when": {"split": [set_]}} for set_ in ("seed", "gate", "stream", "test")]}
QUERIES = {"seed": 30, "gate": 30, "stream": 60, "test": 10}


def pairs() -> pd.DataFrame:
    """130 queries of four documents with the grades 0 to 3; the stream's second half is a year later."""
    rows = [
        {
            "query_id": f"{split}-{number}",
            "query": f"where to buy item {number} of {split}",
            "doc_id": f"{split}-{number}-{grade}",
            "title": f"item {number}",
            "text": f"the shop sells item {number} in quality {grade}",
            "grade": grade,
            "language": "en",
            "split": split,
            "timestamp": pd.Timestamp("2024-01-01" if 2 * number < queries else "2025-01-01"),
        }
        for split, queries in QUERIES.items()
        for number in range(queries)
        for grade in range(4)
    ]
    return pd.DataFrame(rows)


def judgments(judges: tuple[str, ...] = ("ann", "ben")) -> pd.DataFrame:
    """Every judge says the human grade of every stream pair."""
    stream = pairs().query("split == 'stream'")[["query_id", "doc_id", "grade"]]
    return pd.concat([stream.assign(judge=judge) for judge in judges], ignore_index=True)


MakeConfig = Callable[..., Path]
