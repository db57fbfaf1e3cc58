"""What judges may search of pairs that were labelled more than once."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from serm.graphs import knowledge

COLUMNS = ["query_id", "doc_id", "grade", "outcome"]


def window(number: int, _: object = None) -> pd.DataFrame:
    """The pairs a, b and c of window 0, d of window 1, and so on, with texts of their own; c comes again."""
    pairs = pd.DataFrame({"doc_id": [["a", "b", "c"], ["d", "c"], ["e", "c"]][number]})
    return pairs.assign(query_id="q", query="a query", title="", text="text of " + pairs["doc_id"])


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The grades by document that the next round's knowledge base is given, after these labels."""

    def given(*rounds: list[tuple[str, float | None, str]]) -> dict[str, float]:
        for number, rows in enumerate(rounds, start=1):
            folder = tmp_path / "rounds" / f"{number:03d}"
            folder.mkdir(parents=True)
            pd.DataFrame([("q", *row) for row in rows], columns=COLUMNS).to_parquet(folder / "labels.parquet")
            report = {"labels": f"rounds/{number:03d}/labels.parquet"}
            (folder / "round.json").write_text(json.dumps(report), encoding="utf-8")
        handed: list[pd.DataFrame] = []
        monkeypatch.setattr(knowledge, "open_knowledge", lambda *given, **_: handed.append(given[4]))
        workspace = SimpleNamespace(
            folder=tmp_path, rounds=tmp_path / "rounds", knowledge=tmp_path / "knowledge"
        )
        knowledge.round_knowledge(
            len(rounds) + 1,
            workspace,
            SimpleNamespace(window=window),
            None,  # type: ignore[arg-type]
        )
        [labels] = handed
        assert (labels["text"] == "text of " + labels["doc_id"]).all()
        return dict(zip(labels["doc_id"], labels["grade"], strict=True))

    return given


def test_a_pair_of_an_earlier_window_that_is_labelled_again_is_shown_by_its_later_label(judged: Any) -> None:
    first = [("a", 1.0, "unanimous"), ("b", 2.0, "unanimous")]
    second = [("a", 3.0, "majority"), ("d", 0.0, "unanimous")]
    assert judged(first, second) == {"b": 2.0, "a": 3.0, "d": 0.0}


def test_a_label_that_the_panel_later_dropped_is_no_evidence_and_one_that_failed_stays(judged: Any) -> None:
    first = [("a", 1.0, "unanimous"), ("b", 2.0, "unanimous")]
    second = [("a", None, "dropped"), ("b", None, "failed")]
    assert judged(first, second) == {"b": 2.0}
