"""The debate: dropped pairs alone, each judge told what the others said, once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from annotating import number, say, write_config, write_pairs
from chat_stub import ChatStub, Move, Status

from serm.core import Settings
from serm.graphs import Annotation, annotate

pytestmark = pytest.mark.slow  # a real server, several rounds of calls

MARK = "did not agree"


def debating(body: dict[str, Any]) -> bool:
    return MARK in body["messages"][-1]["content"]


def run(folder: Path, stub: ChatStub, *models: str, count: int = 12, **agreement: Any) -> Annotation:
    config = write_config(folder, stub, *models, agreement={"debate": True, **agreement})
    return annotate(pd.read_csv(write_pairs(folder, count)), Settings.from_yaml(config))


def first_round(body: dict[str, Any]) -> Move:
    """All say 2, but `three` says 0 on every third pair."""
    dissents = body["model"] == "three" and number(body) % 3 == 0
    return say(0 if dissents else 2, f"{body['model']} finds it so")


def test_who_gives_in_makes_the_panel_keep_the_pair_and_the_label_says_so(
    stub: ChatStub, tmp_path: Path
) -> None:
    stub.play = lambda body, times: say(2, "I had missed that") if debating(body) else first_round(body)
    found = run(tmp_path, stub, "one", "two", "three")
    labels = found.labels.set_index("doc_id")
    assert [labels.loc[f"d{n}", "outcome"] for n in range(4)] == [
        "debate",
        "unanimous",
        "unanimous",
        "debate",
    ]
    assert labels.loc["d0", "grade"] == 2
    assert labels.loc["d0", "votes"] == [["one", 2], ["two", 2], ["three", 2]]
    assert (labels.loc["d0", "calls"], labels.loc["d1", "calls"]) == (6, 3)
    debate = found.counts["debate"]
    assert (debate["pairs"], debate["kept"], debate["judgments"], debate["calls"]) == (4, 4, 12, 12)
    assert debate["share"] == pytest.approx(1 / 3)
    assert found.counts["judging"]["calls"] == 36, "the debate is counted apart"
    assert found.counts["outcomes"] == {"unanimous": 8, "debate": 4}
    assert set(found.judgments["judge"]) == {
        f"{name}{end}" for name in ("one", "two", "three") for end in ("", "/debate")
    }


def test_each_is_told_its_own_grade_and_the_others_without_their_names(
    stub: ChatStub, tmp_path: Path
) -> None:
    stub.play = lambda body, times: first_round(body)
    run(tmp_path, stub, "one", "two", "three")
    told = [body for body in stub.bodies if debating(body)]
    assert {number(body) for body in told} == {0, 3, 6, 9}
    for body in told:
        text = body["messages"][-1]["content"].split("Judges have graded")[1]
        own, others = text.split("Another judge:", 1)
        assert f"You: {0 if body['model'] == 'three' else 2}. {body['model']} finds it so" in own
        grades = re.findall(r"(?:^|Another judge:) (\d)\.", "Another judge:" + others)
        assert sorted(grades) == (["2", "2"] if body["model"] == "three" else ["0", "2"])
        assert len(body["messages"]) == 2, "one message of the user: some servers refuse two in a row"
    orders = {
        tuple(re.findall(r"Another judge: (\d)", body["messages"][-1]["content"]))
        for body in told
        if body["model"] == "one"
    }
    assert orders == {("0", "2"), ("2", "0")}, "the order is drawn for each pair"


def test_a_judge_that_fails_in_the_debate_keeps_its_first_word(stub: ChatStub, tmp_path: Path) -> None:
    stub.play = lambda body, times: Status(500) if debating(body) else first_round(body)
    found = run(tmp_path, stub, "one", "two", "three")
    assert found.counts["outcomes"] == {"unanimous": 8, "dropped": 4}
    debate = found.counts["debate"]
    assert (debate["kept"], debate["failures"]) == (0, {"server": 12})
    assert found.labels.set_index("doc_id").loc["d0", "votes"] == [["one", 2], ["two", 2], ["three", 0]]


def test_a_debate_is_not_held_twice(stub: ChatStub, tmp_path: Path) -> None:
    stub.play = lambda body, times: say(2) if debating(body) else first_round(body)
    first = run(tmp_path, stub, "one", "two", "three")
    sent = len(stub.bodies)
    again = run(tmp_path, stub, "one", "two", "three")
    assert len(stub.bodies) == sent
    pd.testing.assert_frame_equal(again.labels, first.labels)
    assert again.counts == first.counts


def test_recorded_judges_keep_their_grade_in_a_debate(stub: ChatStub, tmp_path: Path) -> None:
    import yaml

    stub.play = lambda body, times: say(1 if debating(body) else 2)
    pairs = pd.read_csv(write_pairs(tmp_path, 4))
    pairs[["query_id", "doc_id"]].assign(judge="rec", grade=[1, 2, 0, 2]).to_csv(tmp_path / "said.csv")
    config = write_config(tmp_path, stub, "one", agreement={"debate": True})
    values = yaml.safe_load(config.read_text())
    values["judges"].append("replay:said.csv#rec")
    config.write_text(yaml.safe_dump(values))
    found = annotate(pairs, Settings.from_yaml(config))
    assert list(found.labels["outcome"]) == ["debate", "unanimous", "dropped", "unanimous"]
    assert found.labels["votes"][2] == [["one", 1], ["rec", 0]]
    assert found.counts["debate"]["judgments"] == 2


def test_without_a_disagreement_there_is_no_debate(stub: ChatStub, tmp_path: Path) -> None:
    stub.play = lambda body, times: say(2)
    found = run(tmp_path, stub, "one", "two")
    assert found.counts["debate"] is None
    assert not any(debating(body) for body in stub.bodies)
