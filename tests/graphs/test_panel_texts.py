"""Whom the panel's grades are weighed by: a text under several ids is one query on either side."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd

from serm.graphs.gate_panel import panel_pairs


def _lists(texts: dict[str, str]) -> pd.DataFrame:
    """Two documents a query of window 0."""
    rows = [(query, f"{query}-{place}", text) for query, text in texts.items() for place in "ab"]
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "query"]).assign(language="en", window=0)


def _asked(gate: dict[str, str], judged: dict[str, str], least: int) -> list[str]:
    """The queries whose pairs the panel is asked for."""
    people = _lists(gate)
    resources: Any = SimpleNamespace(
        gate_lists=lambda number: people,
        judged_lists=lambda number: _lists(judged),
        human_graded=lambda number: people.assign(grade=[0, 3] * len(gate)),
        settings=SimpleNamespace(gate=SimpleNamespace(judged_least=least)),
    )
    return panel_pairs(resources, 1)["query_id"].unique().tolist()


def test_a_text_that_people_grade_is_not_asked_for_again_under_another_id() -> None:
    judged = {"m1": "RED lamp", "m2": "blue lamp", "m3": "oak desk"}
    assert _asked({"g1": "red lamp"}, judged, 1) == ["g1", "m2", "m3"]


def test_ids_of_one_text_count_once_towards_what_people_have_graded() -> None:
    judged = {"m1": "blue lamp", "m2": "oak desk"}
    apart = {"g1": "red lamp", "g2": "green chair"}
    assert _asked(apart, judged, 2)
    assert not _asked({"g1": "red lamp", "g2": "lamp, red"}, judged, 2)


def test_ids_of_one_text_are_not_two_queries_of_a_window() -> None:
    assert not _asked({"g1": "red lamp"}, {"m1": "blue lamp", "m2": "Blue lamp!"}, 1)
