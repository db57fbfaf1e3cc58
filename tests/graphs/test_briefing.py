"""What a supervisor's model is told of a step fits into 2 KB, whatever people and data say."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from serm.graphs.briefing import told_of
from serm.graphs.questions import question_of

ROUND: dict[str, Any] = {
    "round": 1,
    "sample": "s",
    "supervision": {"act": "ask_person", "turns": 1, "question": "Is it a campaign?"},
}


def resources_of(folder: Path, sample: pd.DataFrame | None = None) -> Any:
    """As much of a run's resources as telling asks for."""
    return SimpleNamespace(
        settings=SimpleNamespace(budget=SimpleNamespace(currency=5.0), evolution=SimpleNamespace(rounds=1)),
        judgments=SimpleNamespace(spent=lambda: 1.0),
        workspace=SimpleNamespace(questions=folder),
        window=lambda number: SimpleNamespace(name=f"m{number}"),
        trace_id=lambda number: f"trace-{number}",
        sample=lambda key: sample,
    )


def heard(folder: Path, answer: str, person: str = "anna") -> dict[str, Any]:
    """What the model is told of an answer."""
    resources, state = resources_of(folder), dict(ROUND)
    question_of(resources, state).settle(answer, person)  # type: ignore[arg-type]
    text = told_of(resources, state)  # type: ignore[arg-type]
    assert len(text.encode()) <= 2_000
    told: dict[str, Any] = json.loads(text)
    return told


LONG = {
    "plain": "Please do not mine the zorblet queries; ",
    "chinese": "请不要挖掘促销活动的查询。",
    "quoted": 'He said "no"\\\n',
    "controls": "\x01\x02",
}


@pytest.mark.parametrize("phrase", LONG.values(), ids=list(LONG))
@pytest.mark.parametrize("length", [1_990, 5_000, 100_000])
def test_a_long_answer_reaches_the_model_as_far_as_it_fits_and_says_that_it_is_cut(
    tmp_path: Path, phrase: str, length: int
) -> None:
    answer = (phrase * length)[:length]
    told = heard(tmp_path, answer)
    kept, said, _ = told["answer"].partition("… (cut here: ")
    assert said
    assert f"{len(kept)} of {length} characters" in told["answer"]
    assert answer.startswith(kept)
    assert len(json.dumps(kept, ensure_ascii=False).encode()) > 1_850
    assert (told["by"], told["money_left"]) == ("anna", 4.0)


def test_an_answer_that_fits_is_told_as_it_is(tmp_path: Path) -> None:
    answer = "Two lines,\nand 請 in them. " * 60
    assert heard(tmp_path, answer)["answer"] == answer


def test_an_answer_of_a_person_with_a_long_name_is_told_of(tmp_path: Path) -> None:
    told = heard(tmp_path, "no, " * 1_000, person="anna of the department " * 200)
    assert len(told["answer"]) > 1_700
    assert told["by"].startswith("anna of")


@pytest.mark.parametrize("sign", ["x", "语", "\x01", None])
def test_texts_in_the_place_of_languages_do_not_end_a_round(tmp_path: Path, sign: str | None) -> None:
    languages = [None if sign is None else f"{row:02}{sign * 500}" for row in range(30)] + ["en"]
    sample = pd.DataFrame({"query_id": "q", "agent": "drift", "language": languages})
    state = {**ROUND, "supervision": {**ROUND["supervision"], "act": "mine"}}
    text = told_of(resources_of(tmp_path, sample), state)  # type: ignore[arg-type]
    assert len(text.encode()) <= 2_000
    told = json.loads(text)
    assert (told["pairs"], told["by_agent"]) == (31, {"drift": 31})


def test_names_that_begin_alike_are_counted_together(tmp_path: Path) -> None:
    languages = ["a language that nobody has heard of", "a language that nobody has a name for"]
    sample = pd.DataFrame({"query_id": "q", "agent": "drift", "language": languages})
    state = {**ROUND, "supervision": {**ROUND["supervision"], "act": "mine"}}
    told = json.loads(told_of(resources_of(tmp_path, sample), state))  # type: ignore[arg-type]
    assert told["languages"] == {"a language that nobo": 2}
