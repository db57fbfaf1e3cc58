"""What an agent's pairs yielded: how many of them the judges agreed on, and how much that was news."""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

SURPRISE: Final = 1.0
"""Grades between label and score from which a label is news to the model; chosen."""


def yields(pairs: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """By agent: `pairs` that used its share, `kept` of them (the panel's label stands), `news`, the share of
    the kept ones whose label is at least one grade from the model's score when it was mined; None where
    nothing was scored.

    `pairs` has a row a pair: agent, grade (missing where no label stands), expected (0 to 3; missing for a
    pair of an earlier window that is labelled again). News is no proof that a label moved the model: that
    takes a training without it.
    """
    told: dict[str, dict[str, Any]] = {}
    for agent, rows in pairs.groupby("agent", sort=True):
        kept = rows.dropna(subset=["grade"])
        scored = kept.dropna(subset=["expected"])
        news = (scored["grade"].astype(float) - scored["expected"]).abs() >= SURPRISE
        told[str(agent)] = {
            "pairs": len(rows),
            "kept": len(kept),
            "news": round(float(news.mean()), 3) if len(news) else None,
        }
    return told
